/** How an exported checkpoint, or snapshot of a machine, is laid out: docs/export.md. */

/** Raised when what is written could not be read by an older thaw. */
export const EXPORT_FORMAT = 1
/** Names of entries. The first says what it is, the last holds the digests of all others. */
export const ENTRY = {
  about: 'checkpoint.json',
  digests: 'digests.json',
  image: 'image',
  manifest: 'image/manifest.json',
  output: 'output',
} as const
/** Bytes of one frame, before compression. */
export const FRAME = 1 << 20
/** A frame that zstd skips, in front of each other: it holds the length of that one. */
export const SKIPPED = 0x184d2a50
export const LENGTH_FRAME = 12

export interface ExportWork {
  file: string
  /** What is to be known of the checkpoint beside its image. */
  about: unknown
  /** Directories, each under the name of an entry; what of them is left out; whether holes of files are. */
  roots: { from: string; as: string; without: string[]; sparse?: boolean }[]
  /** Small files, by name of the entry. */
  texts: Record<string, string>
}

/** What is in a file: it decides which parts are expected. */
export type ParcelKind = 'checkpoint' | 'machine'

/** Attributes of a file with holes, as GNU tar writes them (its format 0.1). The map: offsets and lengths, by turns. */
export const SPARSE = {
  size: 'GNU.sparse.size',
  count: 'GNU.sparse.numblocks',
  name: 'GNU.sparse.name',
  map: 'GNU.sparse.map',
} as const

/** Entries that are texts, as they came. */
export interface Imported {
  about: string
  manifest: string
}
