/** Images as the process engine writes them, of made-up content. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { notePlace, sealImage, type ProcessImage } from '../../packages/thaw/src/engines/process/image.js'

export async function makeImage(directory: string, files: Record<string, Buffer>): Promise<ProcessImage> {
  const draft = `${directory}.draft`
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(draft, name)), { recursive: true })
    writeFileSync(join(draft, name), content, { mode: 0o640 })
  }
  return await sealImage(draft, directory, {
    engine: 'process',
    machine: { criu: '4', kernel: '6', architecture: 'x64', processor: '', user: false },
    program: null,
    pids: { root: 2, program: 3, last: '4' },
    network: 'private',
    tcp: null,
    streams: { kind: 'pipes', stdin: null, stdout: 'pipe:[1]', stderr: 'pipe:[2]' },
    stdinEnded: true,
    counts: { stdin: 0, stdout: 0, stderr: 0 },
    setting: { cwd: '/', ownTemporary: true, visible: [], root: null, layered: false },
    place: notePlace('/'),
    files: [],
    written: { files: [], left: [], complete: true },
    processors: null,
    processes: 1,
  })
}

/** What must not change: of every file below a directory its content, mode, owner and time. */
export function lookOf(directory: string, parts: readonly string[]): Record<string, string> {
  const look: Record<string, string> = {}
  const walk = (path: string, name: string) => {
    const stat = statSync(path, { bigint: true })
    if (stat.isDirectory()) {
      for (const entry of readdirSync(path)) walk(join(path, entry), join(name, entry))
      return
    }
    const content = createHash('sha256').update(readFileSync(path)).digest('hex')
    look[name] = [content, stat.size, stat.mode, stat.uid, stat.mtimeNs].join(' ')
  }
  for (const part of parts) walk(join(directory, part), part)
  return look
}
