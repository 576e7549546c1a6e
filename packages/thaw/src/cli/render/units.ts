export function bytes(count: number | null): string {
  if (count === null) return ''
  if (count < 1000) return `${count} B`
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const) {
    if (count >= size) return `${(count / size).toFixed(count / size < 10 ? 1 : 0)} ${unit}`
  }
  return ''
}

export function seconds(value: number): string {
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`
  if (value < 9.995) return `${value.toFixed(2)} s`
  if (value < 119.5) return `${value.toFixed(1)} s`
  if (value < 7170) return `${Math.floor(value / 60)} min`
  return `${(value / 3600).toFixed(1)} h`
}

export function ago(iso: string, now = Date.now()): string {
  const past = (now - Date.parse(iso)) / 1000
  if (past < 60) return 'just now'
  if (past < 3600) return `${Math.floor(past / 60)} min ago`
  if (past < 172_800) return `${Math.floor(past / 3600)} h ago`
  return `${Math.floor(past / 86_400)} days ago`
}

export function command(words: readonly string[], width = 60): string {
  const text = words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ')
  return shorten(text.replace(/\p{Cc}/gu, '?'), width)
}

export function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

export function exit(value: { code: number | null; signal: string | null } | null): string {
  if (value === null) return ''
  return value.signal === null ? `exit ${value.code}` : value.signal
}
