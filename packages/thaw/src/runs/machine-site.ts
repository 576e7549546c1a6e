/** What a run's machines share with this one, and where they live. */
import type { Family } from '../engines/fork/family.js'
import type { ProcessGroup } from '../engines/process/group.js'
import { Carried } from '../engines/vm/carried.js'
import type { VmImage } from '../engines/vm/image.js'
import type { Group } from './group.js'
import type { Run } from './run.js'
import type { Workshop } from './workshop.js'

export interface MachineSite {
  group: ProcessGroup
  family: Family
  carried: Carried
  project: string
}

/** @param isPrivate what is changed in the machine stays there */
export function carriedBy(
  run: Run,
  cache: string | null,
  image: VmImage | null,
  isPrivate: boolean,
): Carried {
  const { store, leftFiles: left } = run
  return new Carried({ project: run.identity.project, cache, store, left, isPrivate }, image)
}

/** Of a program with an agent. */
export function machineSite(
  shop: Workshop,
  run: Run,
  { family }: Group,
  image: VmImage | null,
  isPrivate: boolean,
): MachineSite {
  const carried = carriedBy(run, family.cache, image, isPrivate)
  return { group: run.machines(shop.log), family, carried, project: run.identity.project }
}
