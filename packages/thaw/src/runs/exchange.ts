/** Checkpoints that leave as files, and come as files. */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointKind, type Exported } from '@thaw/protocol'
import { z } from 'zod'
import { ENTRY, EXPORT_FORMAT } from '../engines/process/parcel.js'
import { notePlace, ProcessImage } from '../engines/process/image.js'
import type { Journal } from '../store/index.js'
import { ThawError, type Scope } from '../system/index.js'
import { Outlasting } from './kept.js'
import type { Checkpoint } from './lineage.js'
import { printedBy } from './printed.js'
import { OutputRecord } from './record.js'
import type { Run } from './run.js'
import type { Workshop } from './workshop.js'

/** What is to be known of a checkpoint elsewhere, beside its image. Where its image lies is not part of it. */
const About = z.object({
  format: z.literal(EXPORT_FORMAT),
  run: z.object({
    command: z.array(z.string()).min(1),
    cwd: z.string().startsWith('/'),
    interpreter: z.string().nullable(),
  }),
  at_seconds: z.number().nonnegative(),
  kept: Outlasting.omit({ image: true }).extend({
    kind: CheckpointKind,
    name: z
      .string()
      .regex(/^[A-Za-z0-9][\w.-]{0,63}$/)
      .nullable(),
  }),
})

/** @throws ThawError UNSUPPORTED, CHECKPOINT_GONE, EXPORT_UNWRITABLE, DISK_FULL */
export async function exportCheckpoint(
  shop: Workshop,
  journal: Journal,
  run: Run,
  checkpoint: Checkpoint,
  file: string,
): Promise<Exported> {
  const { id, image, branch } = checkpoint
  if (!(image instanceof ProcessImage)) {
    throw new ThawError('UNSUPPORTED', `${id} is a parked process, which lives in memory only.`, {
      hint: 'Run the command with `--engine process`; checkpoints of such a run lie on the disk.',
    })
  }
  if (branch.root.files !== null) {
    throw new ThawError('UNSUPPORTED', `${id} has a root file system of its own, which is not part of it.`)
  }
  if (!image.alive) throw new ThawError('CHECKPOINT_GONE', `${id} cannot be restored any more.`)
  const temporary = mkdtempSync(join(run.identity.directory, 'temp', 'export-'))
  try {
    const record = new OutputRecord(temporary, Infinity)
    for (const [stream, bytes] of printedBy(journal, shop.paths.runs, branch.id, checkpoint.offsets))
      record.append(stream, bytes)
    const offsets = record.offsets()
    record.close()
    if (record.broken !== null) throw new ThawError('DISK_FULL', `The export was given up: ${record.broken}.`)
    const { command, cwd, interpreter } = run.identity
    const { kind, name, stdin } = checkpoint
    const about: z.input<typeof About> = {
      format: EXPORT_FORMAT,
      run: { command, cwd, interpreter },
      at_seconds: checkpoint.work,
      kept: { kind, name, offsets, stdin, root: branch.root, stdinKind: branch.streams.stdin },
    }
    const bytes = await shop.keeper.export(image, about, temporary, file)
    return { checkpoint: id, file, bytes }
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/**
 * @param runFor the run of a command in a directory, made where there is none
 * @returns the id of the checkpoint, its run, and what speaks against restoring it here
 * @throws ThawError IMPORT_REFUSED, DISK_FULL; then nothing of it is left
 */
export async function importCheckpoint(
  shop: Workshop,
  journal: Journal,
  file: string,
  runFor: (about: z.output<typeof About>['run']) => Run,
  scope: Scope,
): Promise<{ id: string; run: string; warnings: string[] }> {
  mkdirSync(shop.paths.imports, { recursive: true, mode: 0o700 })
  const draft = mkdtempSync(join(shop.paths.imports, 'i-'))
  try {
    const { image, about: text } = await shop.keeper.import(file, draft, join(draft, 'sealed'))
    const read = About.safeParse(text)
    if (!read.success) {
      const { format } = (text ?? {}) as { format?: unknown }
      const why =
        format === EXPORT_FORMAT ? 'what it says of the checkpoint is malformed' : `its format is ${format}`
      throw new ThawError('IMPORT_REFUSED', `The file was not imported: ${why}.`, { cause: read.error })
    }
    const about = read.data
    const run = runFor(about.run)
    const group = run.sandboxes(shop.log)
    const branch = shop.newId('b')
    const directory = join(group.images, group.newImage().final)
    // The image last: what a kill leaves before is swept, or collected.
    renameSync(join(draft, ENTRY.output), run.branchDirectory(branch))
    renameSync(image.directory, directory)
    const id = shop.newId('c')
    const now = Date.now()
    journal.recordBranch({
      id: branch,
      run: run.identity.id,
      from: null,
      state: 'ended',
      pid: null,
      startedAt: now,
      endedAt: now,
      exitCode: null,
      exitSignal: null,
      data: { kind: 'exact' },
    })
    journal.recordCheckpoint({
      id,
      run: run.identity.id,
      branch,
      parent: null,
      unit: null,
      file: null,
      line: null,
      atSeconds: about.at_seconds,
      memoryBytes: null,
      state: 'parked',
      createdAt: now,
      data: { ...about.kept, image: directory } satisfies z.infer<typeof Outlasting>,
    })
    return { id, run: run.identity.id, warnings: await warningsOf(shop, image, scope) }
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

async function warningsOf(shop: Workshop, image: ProcessImage, scope: Scope): Promise<string[]> {
  const { cwd } = image.manifest.setting
  let gone: string[] = []
  try {
    notePlace(cwd)
  } catch {
    gone = [`${cwd}, in which the program works, does not exist here`]
  }
  try {
    return [...gone, ...(await shop.process.differences(image, scope))]
  } catch (error) {
    return [...gone, `it cannot be restored here yet: ${ThawError.from(error).message}`]
  }
}
