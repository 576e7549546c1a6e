/**
 * Frames of a run's stream, both ways: [1 byte type][4 bytes length, big endian][payload].
 * This file is loaded by the fast path of the command line: it imports nothing.
 */
export const FRAME = { control: 0, stdout: 1, stderr: 2, stdin: 3, numbered: 4 } as const

/** Longest payload that is accepted; senders split what is longer. */
export const FRAME_LIMIT = 16 * 1024 * 1024

const HEADER = 5

/**
 * The same frames over a WebSocket: a binary message holds whole ones. A page cannot send headers with its handshake,
 * so that the token may stand among the protocols it offers, behind `token`; the daemon never selects that one.
 */
export const WEBSOCKET = { protocol: 'thaw.v1', token: 'thaw.token.' } as const

export function frameHeader(type: number, length: number): Uint8Array {
  const header = new Uint8Array(HEADER)
  header[0] = type
  new DataView(header.buffer).setUint32(1, length)
  return header
}

export function controlFrame(message: unknown): Uint8Array {
  const payload = new TextEncoder().encode(JSON.stringify(message))
  const frame = new Uint8Array(HEADER + payload.length)
  frame.set(frameHeader(FRAME.control, payload.length))
  frame.set(payload, HEADER)
  return frame
}

const NUMBERED = 3

/** Output of one of several branches: its number (from 1) in two bytes, 0 or 1 for stdout or stderr, then the bytes. */
export function numberedHeader(number: number, stream: 'stdout' | 'stderr'): Uint8Array {
  return Uint8Array.of(number >> 8, number & 255, stream === 'stdout' ? 0 : 1)
}

export function readNumbered(
  payload: Uint8Array,
): [number: number, stream: 'stdout' | 'stderr', bytes: Uint8Array] {
  const [high = 0, low = 0, stream = 0] = payload
  return [(high << 8) | low, stream === 0 ? 'stdout' : 'stderr', payload.subarray(NUMBERED)]
}

/**
 * Cuts a byte stream into frames. Output frames are handed on in the pieces in which they arrive, so that nothing
 * is collected in memory; control frames and numbered ones are handed on whole.
 */
export class FrameReader {
  #header = new Uint8Array(HEADER)
  #have = 0
  #type = 0
  #left = -1
  #control: Uint8Array[] = []

  /** Calls `on` for each piece. Throws RangeError on an unknown type or a frame beyond the limit. */
  push(chunk: Uint8Array, on: (type: number, payload: Uint8Array) => void): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#left < 0) {
        const take = Math.min(HEADER - this.#have, chunk.length - at)
        this.#header.set(chunk.subarray(at, at + take), this.#have)
        this.#have += take
        at += take
        if (this.#have < HEADER) return
        this.#type = this.#header[0] as number
        this.#left = new DataView(this.#header.buffer).getUint32(1)
        this.#have = 0
        if (this.#type > FRAME.numbered) throw new RangeError(`unknown frame type ${this.#type}`)
        if (this.#left > FRAME_LIMIT) throw new RangeError(`frame of ${this.#left} bytes`)
        if (this.#left === 0) this.#finish(on)
        continue
      }
      const piece = chunk.subarray(at, at + this.#left)
      at += piece.length
      this.#left -= piece.length
      if (this.#whole()) this.#control.push(piece.slice())
      else on(this.#type, piece)
      if (this.#left === 0) this.#finish(on)
    }
  }

  #finish(on: (type: number, payload: Uint8Array) => void): void {
    this.#left = -1
    if (!this.#whole()) return
    const parts = this.#control
    this.#control = []
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
    let at = 0
    for (const part of parts) {
      whole.set(part, at)
      at += part.length
    }
    on(this.#type, whole)
  }

  #whole(): boolean {
    return this.#type === FRAME.control || this.#type === FRAME.numbered
  }
}
