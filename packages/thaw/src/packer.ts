/** The thread in which images are packed and unpacked: one piece of work, then it ends. */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import type { Answer, PackerData } from './engines/process/keeper.js'
import { writeExport } from './engines/process/export.js'
import { readExport } from './engines/process/import.js'
import { collectPages, imagesIn, packImage, unpackImage } from './engines/process/packing.js'
import { PageStore } from './store/pages.js'
import { loadZstd } from './store/zstd.js'
import { ThawError } from './system/index.js'

const IN_THE_BACKGROUND = 15

const { pages, work, hurry } = workerData as PackerData
const go = () => Atomics.load(new Int32Array(hurry), 0) === 0

async function act(): Promise<Answer> {
  // Of this thread alone: so Linux understands it.
  if (work.do === 'pack' || work.do === 'collect') setPriority(0, IN_THE_BACKGROUND)
  await loadZstd()
  if (work.do === 'export') return { exported: await writeExport(work) }
  if (work.do === 'import') return { imported: await readExport(work.file, work.directory, work.kind) }
  using store = new PageStore(pages)
  if (work.do === 'pack') await packImage(work.image, store, go)
  else if (work.do === 'unpack') await unpackImage(work.image, store)
  else return { collected: collectPages(work.places.flatMap(imagesIn), store) }
  return {}
}

function asError(error: unknown): ThawError {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return ThawError.from(error)
  return new ThawError('DISK_FULL', 'The disk is full.', { cause: error })
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- to a thread, not a window
parentPort?.postMessage(await act().catch((error: unknown): Answer => ({ error: asError(error).toBody() })))
