/** Snapshots and instances in the words of NQRust, for those who come from there. */
import { z } from 'zod'
import { DOCKER_MACHINE, ImageName } from './image.js'
import { Instance, InstanceName } from './instance.js'
import { Snapshot } from './snapshot.js'

export const RuntimeSnapshotRequest = z.object({
  runtime_image_id: ImageName.describe('Id or name of the image that is to be started and kept.'),
})

/** A snapshot, and what it is called there. */
export const RuntimeSnapshot = Snapshot.extend({ runtime_image_id: z.string() })

/** One: its fields, and the same below `item`. */
export const RuntimeSnapshotAnswer = RuntimeSnapshot.extend({ item: RuntimeSnapshot })
export const RuntimeSnapshotList = z.object({ items: z.array(RuntimeSnapshot) })

export const ContainerRequest = z.object({
  name: InstanceName.nullable().default(null),
  image: ImageName.describe('Name of an image, as nginx:alpine.'),
  engine: z
    .enum(['process', 'vm'])
    .nullable()
    .default(null)
    .describe(
      '`vm`: the Docker engine of a machine runs it, which is a copy of one where there is a snapshot; else the instance is what its image says.',
    ),
  machine: ImageName.default(DOCKER_MACHINE).describe('With `vm`: image of that machine.'),
})

export const ContainerAnswer = z.object({ id: z.string(), item: Instance })
export const ContainerList = z.object({ items: z.array(Instance) })
