/** Columns as wide as their widest cell, two spaces apart. Columns that are empty in every row are left out. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const used = header.map((_, at) => rows.some((row) => row[at] !== ''))
  const lines = [header, ...rows].map((row) => row.filter((_, at) => used[at]))
  const widths = (lines[0] ?? []).map((_, at) => Math.max(...lines.map((line) => (line[at] ?? '').length)))
  return lines
    .map((line) => `${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd() + '\n')
    .join('')
}

/** One line a field, its name before it. */
export function fields(lines: readonly [string, string][]): string {
  return lines.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join('')
}

/** A field that may be missing. */
export function some(name: string, value: string | null): [string, string][] {
  return value === null || value === '' ? [] : [[name, value]]
}
