/** Checkpoints of instances: a row in the journal and a directory each. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { InstanceCheckpoint } from '@thaw/protocol'
import type { InstanceCheckpointRow, InstanceTable } from '../../store/instances.js'
import type { ImageCare } from '../../engines/process/keeper.js'
import { ThawError } from '../../system/index.js'
import { pick } from '../ids.js'

export class InstanceCheckpoints {
  readonly #table: InstanceTable
  readonly #care: ImageCare
  /** Ids of those that are about to be used. */
  readonly #held = new Set<string>()

  /**
   * Puts in order what an earlier daemon left.
   *
   * @param directory where images lie, of this class alone
   * @param care of these images
   */
  constructor(table: InstanceTable, directory: string, care: ImageCare) {
    this.#table = table
    this.#care = care
    for (const row of table.listCheckpoints()) {
      if (!existsSync(row.directory) || row.checkpoint.temporary) this.discard(row)
    }
    const known = new Set(table.listCheckpoints().map((row) => row.directory))
    for (const name of readdirSync(directory)) {
      if (!known.has(join(directory, name))) care.discard(join(directory, name))
    }
  }

  /** Of one instance, or all; newest first. Those that were made for a fork do not show. */
  list(instance: string | null): InstanceCheckpointRow[] {
    return this.#table
      .listCheckpoints()
      .filter(
        ({ checkpoint }) => !checkpoint.temporary && (instance === null || checkpoint.instance === instance),
      )
  }

  /** By name, id or the beginning of an id. @throws ThawError INSTANCE_NOT_FOUND, AMBIGUOUS_ID */
  get(given: string): InstanceCheckpointRow {
    const rows = this.list(null)
    const named = rows.map((row) => ({ row, id: row.checkpoint.id, name: row.checkpoint.name ?? '' }))
    return pick(named, given, 'checkpoint of an instance').row
  }

  /** @throws ThawError NAME_TAKEN */
  checkName(name: string | null): void {
    if (name === null || this.list(null).every(({ checkpoint }) => checkpoint.name !== name)) return
    throw new ThawError('NAME_TAKEN', `There is a checkpoint ${name} already.`)
  }

  record(row: InstanceCheckpointRow): InstanceCheckpoint {
    this.#table.recordCheckpoint(row)
    return row.checkpoint
  }

  /** It is not dropped while `work` runs. */
  async hold<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#held.add(id)
    try {
      return await work()
    } finally {
      this.#held.delete(id)
    }
  }

  /** The row first: what is left of an interrupted removal is swept. */
  discard({ checkpoint, directory }: InstanceCheckpointRow): void {
    this.#table.forgetCheckpoint(checkpoint.id)
    this.#care.discard(directory)
  }

  /** Those that were made for a fork, and that nobody lives on any more. */
  dropTemporary(isUsed: (id: string) => boolean): void {
    for (const row of this.#table.listCheckpoints()) {
      const { id, temporary } = row.checkpoint
      if (temporary && !this.#held.has(id) && !isUsed(id)) this.discard(row)
    }
  }
}
