/** Arguments of a call as words of a command line: `3 '"text"' y=2`. */

const NAMED = /^([A-Za-z_]\w*)=([^]*)$/

/** Values are JSON where they can be, else texts; NAME=VALUE is a named argument. */
export function asArguments(words: readonly string[]): { args: unknown[]; kwargs: Record<string, unknown> } {
  const args: unknown[] = []
  const kwargs: Record<string, unknown> = {}
  for (const word of words) {
    const [, name, value = ''] = NAMED.exec(word) ?? []
    if (name === undefined) args.push(valueOf(word))
    else kwargs[name] = valueOf(value)
  }
  return { args, kwargs }
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
