import type { Output } from './output.js'
import type { Numbered } from './session.js'

/** A line longer than this is shown in parts. */
const LONGEST = 64 * 1024
const NEWLINE = 10

/** Shows each line of several branches' output with the number of its branch in front. */
export function numberLines(outputs: Record<'stdout' | 'stderr', Output>, count: number): Numbered {
  const width = String(count).length
  const begun = new Map<string, Uint8Array>()
  const shown = (number: number, line: Uint8Array) =>
    Buffer.concat([Buffer.from(`[${String(number).padStart(width)}] `), line])
  return {
    write(number, stream, bytes) {
      const key = `${stream} ${number}`
      const text = Buffer.concat([begun.get(key) ?? new Uint8Array(), bytes])
      const lines: Uint8Array[] = []
      let at = 0
      for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, at)) {
        lines.push(shown(number, text.subarray(at, end + 1)))
        at = end + 1
      }
      for (; text.length - at > LONGEST; at += LONGEST) {
        lines.push(shown(number, text.subarray(at, at + LONGEST)), Buffer.from('\n'))
      }
      begun.set(key, text.subarray(at))
      return lines.length === 0 ? undefined : outputs[stream].write(Buffer.concat(lines))
    },
    async end() {
      for (const [key, rest] of begun) {
        const [stream, number] = key.split(' ') as ['stdout' | 'stderr', string]
        if (rest.length > 0)
          await outputs[stream].write(Buffer.concat([shown(Number(number), rest), Buffer.from('\n')]))
      }
    },
  }
}
