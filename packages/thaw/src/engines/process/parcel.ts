/** How an exported checkpoint is laid out: docs/export.md. */

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
  /** Directories, each under the name of an entry; and what of them is left out. */
  roots: { from: string; as: string; without: string[] }[]
  /** Small files, by name of the entry. */
  texts: Record<string, string>
}

/** Entries that are texts, as they came. */
export interface Imported {
  about: string
  manifest: string
}
