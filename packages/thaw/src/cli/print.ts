/** Prints a result: as JSON for programs, else as the lines that `render` makes of it. */
export async function print<T>(
  value: T,
  json: boolean | undefined,
  render: (value: T) => string,
): Promise<void> {
  const text = json === true ? `${JSON.stringify(value, null, 2)}\n` : render(value)
  await new Promise<void>((resolve) => {
    process.stdout.on('error', () => resolve())
    process.stdout.write(text, () => resolve())
  })
}
