/** The same snapshots and instances, as NQRust publishes them. */
import {
  ContainerAnswer,
  ContainerList,
  ContainerRequest,
  InstanceRequest,
  NameParams,
  RuntimeSnapshotAnswer,
  RuntimeSnapshotList,
  RuntimeSnapshotRequest,
  type Instance,
  type Snapshot,
} from '@thaw/protocol'
import { openScope, ThawError } from '../system/index.js'
import { callerSignal } from './caller.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const tags = ['containers']
const params = NameParams

export function containerRoutes(app: Routes, { products, log }: ApiContext): void {
  app.get(
    '/v1/runtime-snapshots',
    {
      schema: {
        tags,
        operationId: 'listRuntimeSnapshots',
        summary: 'All snapshots',
        response: { 200: RuntimeSnapshotList },
      },
    },
    () => ({ items: products.snapshots.list().map(runtimeSnapshot) }),
  )

  app.post(
    '/v1/runtime-snapshots',
    {
      schema: {
        tags,
        operationId: 'createRuntimeSnapshot',
        summary: 'Have a snapshot made of an image',
        body: RuntimeSnapshotRequest,
        response: { 202: RuntimeSnapshotAnswer },
      },
    },
    async (request, reply) => {
      const image = request.body.runtime_image_id
      return reply
        .status(202)
        .send(answer(products.snapshots.create({ image, from: null, name: null, prepare: null })))
    },
  )

  app.get(
    '/v1/runtime-snapshots/:id',
    {
      schema: {
        tags,
        operationId: 'getRuntimeSnapshot',
        summary: 'One snapshot',
        params,
        response: { 200: RuntimeSnapshotAnswer },
      },
    },
    (request) => answer(products.snapshots.get(request.params.id)),
  )

  app.post(
    '/v1/runtime-snapshots/:id/rebuild',
    {
      schema: {
        tags,
        operationId: 'rebuildRuntimeSnapshot',
        summary: 'Make a snapshot anew',
        params,
        response: { 202: RuntimeSnapshotAnswer },
      },
    },
    async (request, reply) => reply.status(202).send(answer(products.snapshots.rebuild(request.params.id))),
  )

  app.delete(
    '/v1/runtime-snapshots/:id',
    {
      schema: {
        tags,
        operationId: 'removeRuntimeSnapshot',
        summary: 'Give a snapshot up that nothing depends on',
        params,
        response: { 200: RuntimeSnapshotAnswer },
      },
    },
    async (request) => {
      const last = products.snapshots.get(request.params.id)
      await products.snapshots.remove(last.id, { cascade: false, force: false })
      return answer({ ...last, state: 'deleted' })
    },
  )

  app.get(
    '/v1/containers',
    {
      schema: {
        tags,
        operationId: 'listContainers',
        summary: 'All instances',
        response: { 200: ContainerList },
      },
    },
    () => ({ items: products.instances.list().map(asContainer) }),
  )

  app.post(
    '/v1/containers',
    {
      schema: {
        tags,
        operationId: 'createContainer',
        summary: 'Make an instance by the fastest way there is; answers once it is ready',
        body: ContainerRequest,
        response: { 201: ContainerAnswer },
      },
    },
    async (request, reply) => {
      const { name, image, engine, machine } = request.body
      if (engine === 'process' && products.images.get(image).engine === 'vm') {
        throw new ThawError('INVALID_REQUEST', `Instances of ${image} are machines.`, {
          hint: 'Leave `engine` out, or import it once more for the process engine.',
        })
      }
      const wanted = InstanceRequest.parse(
        engine === 'vm' ? { name, image: machine, container: image } : { name, image },
      )
      const { ready } = products.provision.create(wanted, openScope(log, callerSignal(reply)), 'Container')
      return reply.status(201).send(container(await ready))
    },
  )

  app.get(
    '/v1/containers/:id',
    {
      schema: {
        tags,
        operationId: 'getContainer',
        summary: 'One instance',
        params,
        response: { 200: ContainerAnswer },
      },
    },
    (request) => container(products.instances.get(request.params.id)),
  )

  app.delete(
    '/v1/containers/:id',
    {
      schema: {
        tags,
        operationId: 'removeContainer',
        summary: 'End and forget an instance',
        params,
        response: { 200: ContainerAnswer },
      },
    },
    async (request) =>
      container(await products.instances.remove(request.params.id, { force: true, cascade: false })),
  )
}

const runtimeSnapshot = (snapshot: Snapshot) => ({ ...snapshot, runtime_image_id: snapshot.image_id })

function answer(snapshot: Snapshot) {
  const item = runtimeSnapshot(snapshot)
  return { ...item, item }
}

/** Under the image that was asked for, whatever machine it is in. */
const asContainer = (item: Instance): Instance => ({ ...item, image: item.container ?? item.image })

const container = (item: Instance) => ({ id: item.id, item: asContainer(item) })
