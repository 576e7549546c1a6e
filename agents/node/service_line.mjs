/**
 * Frames between the daemon and the processes of a service, over a private unix socket: two lengths (32 bits each, big
 * endian), a message in JSON, and bytes that nobody on the way looks into.
 */
import { existsSync } from 'node:fs'
import { connect } from 'node:net'

const HEADER = 8
/** Between two attempts to find the daemon again. Milliseconds. */
const PAUSE = 3

export class Line {
  #path
  #hello
  #socket = null
  #have = Buffer.alloc(0)
  #parted = false
  #ended = false
  /** What was said before there was a connection. */
  #early = []
  /** Told of each message and its bytes. */
  onMessage = () => {}
  /** The daemon is gone, or wants nothing more of this process. */
  onGone = () => process.exit(0)

  /** @param hello the first message of each connection: whose it is */
  constructor(path, hello) {
    this.#path = path
    this.#hello = hello
    this.#connect()
  }

  send(message, body = Buffer.alloc(0)) {
    // A write after the end would cut the connection off, with what the daemon has not read yet.
    if (this.#ended) return
    const text = Buffer.from(JSON.stringify(message))
    const head = Buffer.allocUnsafe(HEADER)
    head.writeUInt32BE(text.length, 0)
    head.writeUInt32BE(body.length, 4)
    const frame = Buffer.concat([head, text, body])
    if (this.#socket === null) this.#early.push(frame)
    else this.#socket.write(frame)
  }

  /**
   * Lets go of the connection, which a copy of the process cannot hold, and comes back when the daemon listens again:
   * here, where the copy failed, or in the copy.
   */
  part() {
    this.#parted = true
    this.#socket.destroy()
    this.#socket = null
    const look = () => (existsSync(this.#path) ? this.#connect() : setTimeout(look, PAUSE))
    setTimeout(look, PAUSE)
  }

  /** Nothing more is said. */
  end() {
    this.#parted = this.#ended = true
    this.#socket?.end()
  }

  #connect() {
    this.#have = Buffer.alloc(0)
    const socket = connect(this.#path)
    const again = () => setTimeout(() => this.#connect(), PAUSE)
    socket.once('error', again)
    socket.once('connect', () => {
      socket.off('error', again)
      this.#parted = false
      this.#socket = socket
      socket.on('error', () => {})
      socket.on('data', (chunk) => this.#take(chunk))
      socket.on('close', () => {
        if (!this.#parted) this.onGone()
      })
      this.send(this.#hello)
      for (const frame of this.#early.splice(0)) socket.write(frame)
    })
  }

  #take(chunk) {
    this.#have = this.#have.length === 0 ? chunk : Buffer.concat([this.#have, chunk])
    while (this.#have.length >= HEADER) {
      const text = this.#have.readUInt32BE(0)
      const whole = HEADER + text + this.#have.readUInt32BE(4)
      if (this.#have.length < whole) return
      const message = JSON.parse(this.#have.toString('utf8', HEADER, HEADER + text))
      const body = Buffer.from(this.#have.subarray(HEADER + text, whole))
      this.#have = this.#have.subarray(whole)
      this.onMessage(message, body)
    }
  }
}
