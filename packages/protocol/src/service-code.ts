/** Code of a service that comes from another machine: what there is first, then what of it is missing. */
import { z } from 'zod'
import { SnapshotName } from './snapshot.js'

/** Most bytes of one file, most bytes of one service, and most files of it. */
export const LARGEST_FILE = 64 * 1024 * 1024
export const MOST_BYTES = 1024 * 1024 * 1024
export const MOST_FILES = 20_000

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex')

/** Relative, and leading nowhere else. */
export const CodePath = z
  .string()
  .min(1)
  .max(1024)
  .refine((path) => !/[\0\\]/.test(path), 'a path without NUL and backslash')
  .refine(
    (path) =>
      path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && part.length <= 255),
    'a relative path without `..`',
  )

export const CodeFile = z.strictObject({
  path: CodePath,
  sha256: Sha256,
  bytes: z.number().int().min(0).max(LARGEST_FILE),
})
export type CodeFile = z.output<typeof CodeFile>

/** PUT /v1/services/ID/code. */
export const CodeManifest = z.strictObject({
  origin: z.string().min(1).max(4096).describe('Where the code is from: machine and directory.'),
  files: z
    .array(CodeFile)
    .max(MOST_FILES)
    .refine((files) => isTree(files.map(({ path }) => path)), 'each path once, and none below a file'),
})
export type CodeManifest = z.output<typeof CodeManifest>

export const CodeState = z.object({
  root: z.string().describe('Directory of the files on the machine of the daemon.'),
  missing: z.array(Sha256).describe('What has to be sent before; empty: the directory holds what was told.'),
})
export type CodeState = z.infer<typeof CodeState>

export const CodeContentParams = z.object({ id: SnapshotName, sha256: Sha256 })
export const CodeParams = z.object({ id: SnapshotName })

function isTree(paths: readonly string[]): boolean {
  const all = new Set(paths)
  if (all.size !== paths.length) return false
  return paths.every((path) => {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      if (all.has(path.slice(0, at))) return false
    }
    return true
  })
}
