/** A criu that works on this machine. */
import { join } from 'node:path'
import { directoryPath } from '../sandbox.js'

/** Directories that PID 1 of a sandbox has open, whatever is mounted: native/sandbox `directory`. From `layers` on, one a layer. */
export const DIRECTORY = { criu: 0, images: 1, work: 2, image: 3, copy: 4, layers: 5 } as const

export interface Criu {
  readonly version: string
  readonly source: 'system' | 'fetched'
  /** The installed program, or the directory that a fetched one was unpacked into. */
  readonly path: string
  /** Paths below `path` of a fetched one's loader, libraries and program. */
  readonly parts: { loader: string; libraries: string; program: string } | null
  /** Its cache of kernel features, made once per boot. */
  readonly features: string
  /** Whether it runs in user namespaces, without root. */
  readonly user: boolean
}

/** Command line of criu in a sandbox, up to its verb. */
export function criuCommand(criu: Pick<Criu, 'path' | 'parts'>): string[] {
  if (criu.parts === null) return [criu.path]
  const { loader, libraries, program } = criu.parts
  const prefix = directoryPath(DIRECTORY.criu)
  return [join(prefix, loader), '--library-path', join(prefix, libraries), join(prefix, program)]
}

/** The same outside of any sandbox. */
export function plainCommand(criu: Pick<Criu, 'path' | 'parts'>): string[] {
  if (criu.parts === null) return [criu.path]
  const { loader, libraries, program } = criu.parts
  return [join(criu.path, loader), '--library-path', join(criu.path, libraries), join(criu.path, program)]
}

export function isAtLeast(version: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = version.split(/[.-]/).map(Number)
  return a > major || (a === major && b >= minor)
}
