/** Who writes files, as the kernel tells it: fanotify on a mount, which only root may ask for. */
import { closeSync, fstatSync, readlinkSync, readSync } from 'node:fs'
import { fanotifyWatch } from './kernel.js'

/** struct fanotify_event_metadata. */
const EVENT = 24
const DESCRIPTOR_AT = 16
/** How many events that cannot be read are passed over at once. */
const UNREADABLE = 1000

/** A file that was written and closed, as it was when that was learned. */
export interface WrittenFile {
  path: string
  /** Device and number. */
  inode: string
}

/** Only processes that see the mount are heard: those of one mount namespace. Others may write the same files unheard. */
export class WriteWatch implements Disposable {
  readonly #fd: number
  readonly #buffer = Buffer.allocUnsafe(EVENT * 256)
  #open = true

  private constructor(fd: number) {
    this.#fd = fd
  }

  /**
   * Listens on the mount that a directory lies on; its end is no hindrance to reading what was heard before.
   *
   * @returns null where the kernel does not allow it
   */
  static open(directory: string): WriteWatch | null {
    const fd = fanotifyWatch(directory)
    return fd === null ? null : new WriteWatch(fd)
  }

  /** What was written since the last time; files that are gone are left out. */
  take(): WrittenFile[] {
    const found: WrittenFile[] = []
    for (let failed = 0; this.#open && failed < UNREADABLE;) {
      let size
      try {
        size = readSync(this.#fd, this.#buffer)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') break
        failed++
        continue
      }
      for (let at = 0; at + EVENT <= size; at += this.#buffer.readUInt32LE(at)) {
        const fd = this.#buffer.readInt32LE(at + DESCRIPTOR_AT)
        if (fd < 0) continue
        try {
          const stat = fstatSync(fd, { bigint: true })
          if (stat.nlink > 0n)
            found.push({ path: readlinkSync(`/proc/self/fd/${fd}`), inode: `${stat.dev}:${stat.ino}` })
        } finally {
          closeSync(fd)
        }
      }
    }
    return found
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.#fd)
    this.#open = false
  }
}
