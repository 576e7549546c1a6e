import {
  ExportedSnapshot,
  ExportRequest,
  ImportedSnapshot,
  Instance,
  InstanceRequest,
  NameParams,
  Removed,
  Snapshot,
  SnapshotImportRequest,
  SnapshotList,
  SnapshotRemoveQuery,
  SnapshotRequest,
  SnapshotVerification,
} from '@thaw/protocol'
import { Readable } from 'node:stream'
import { z } from 'zod'
import { openScope, withTimeout } from '../system/index.js'
import { callerSignal } from './caller.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const tags = ['snapshots']
const params = NameParams
/** Seconds that a request may wait at most. */
const MOST_WAIT = 600

/** What is given besides to one that is restored. */
export const TakeRequest = InstanceRequest.pick({
  name: true,
  ports: true,
  limits: true,
  readiness: true,
  ttl: true,
  idle_ttl: true,
})

export function snapshotRoutes(app: Routes, { products, log }: ApiContext): void {
  app.get(
    '/v1/snapshots',
    {
      schema: {
        tags,
        operationId: 'listSnapshots',
        summary: 'All snapshots, the newest first',
        response: { 200: SnapshotList },
      },
    },
    () => ({ snapshots: products.snapshots.list() }),
  )

  app.post(
    '/v1/snapshots',
    {
      schema: {
        tags,
        operationId: 'createSnapshot',
        summary: 'Have a snapshot made of an image, or of another snapshot',
        description:
          'Answers 202 at once; with `Prefer: wait=SECONDS` 201 when it is ready in that time. Its log tells the steps.',
        headers: z.looseObject({ prefer: z.string().max(200).optional() }),
        body: SnapshotRequest,
        response: { 201: Snapshot, 202: Snapshot },
      },
    },
    async (request, reply) => {
      const { id } = products.snapshots.create(request.body)
      reply.header('location', `/v1/snapshots/${id}`)
      const wait = Number(/(?:^|[,;\s])wait=(\d{1,6})\b/.exec(request.headers.prefer ?? '')?.[1] ?? 0)
      if (wait > 0) {
        const scope = withTimeout(openScope(log, callerSignal(reply)), Math.min(wait, MOST_WAIT) * 1000)
        await products.snapshots.built(id, scope).catch((error: unknown) => {
          // It goes on; that it failed, its caller is to know.
          if (products.snapshots.get(id).state !== 'creating') throw error
        })
      }
      const made = products.snapshots.get(id)
      return reply.status(made.state === 'creating' ? 202 : 201).send(made)
    },
  )

  app.get(
    '/v1/snapshots/:id',
    {
      schema: {
        tags,
        operationId: 'getSnapshot',
        summary: 'One snapshot, by name or id',
        params,
        response: { 200: Snapshot },
      },
    },
    (request) => products.snapshots.get(request.params.id),
  )

  app.get(
    '/v1/snapshots/:id/logs',
    {
      schema: {
        tags,
        operationId: 'readSnapshotLog',
        summary: 'What was done to a snapshot since the daemon began, one JSON object a line',
        params,
        querystring: z.object({
          follow: z.stringbool().default(false).describe('Go on until its build has ended.'),
        }),
        response: {
          200: {
            description: 'Lines, the oldest first.',
            content: { 'application/x-ndjson': { schema: z.unknown() } },
          },
        },
      },
    },
    (request, reply) => {
      const lines = products.snapshots.lines(request.params.id, request.query.follow, callerSignal(reply))
      const encoded = async function* () {
        for await (const line of lines) yield `${JSON.stringify(line)}\n`
      }
      void reply.type('application/x-ndjson').send(Readable.from(encoded(), { objectMode: false }))
    },
  )

  app.post(
    '/v1/snapshots/:id/rebuild',
    {
      schema: {
        tags,
        operationId: 'rebuildSnapshot',
        summary: 'Make a snapshot anew; one that is ready is offered until the next is there',
        params,
        response: { 202: Snapshot },
      },
    },
    async (request, reply) => reply.status(202).send(products.snapshots.rebuild(request.params.id)),
  )

  app.post(
    '/v1/snapshots/:id/verify',
    {
      schema: {
        tags,
        operationId: 'verifySnapshot',
        summary: 'Read all of a snapshot, restore it, and ask whether what it became is ready',
        params,
        response: { 200: SnapshotVerification },
      },
    },
    (request, reply) => products.snapshots.verify(request.params.id, openScope(log, callerSignal(reply))),
  )

  app.post(
    '/v1/snapshots/:id/instances',
    {
      schema: {
        tags,
        operationId: 'createInstanceOfSnapshot',
        summary: 'Make an instance of a certain snapshot; where that fails, by a start',
        params,
        body: TakeRequest,
        response: { 201: Instance },
      },
    },
    async (request, reply) => {
      const scope = openScope(log, callerSignal(reply))
      return reply
        .status(201)
        .send(await products.provision.createFrom(request.params.id, request.body, scope).ready)
    },
  )

  app.post(
    '/v1/snapshots/:id/export',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        operationId: 'exportSnapshot',
        summary: 'Write a snapshot of a machine into a file, for another machine of the same kind',
        description: 'The file holds all of its memory and its disk. It is readable by its owner only.',
        params,
        body: ExportRequest,
        response: { 200: ExportedSnapshot },
      },
    },
    (request, reply) =>
      products.export(request.params.id, request.body.file, openScope(log, callerSignal(reply))),
  )

  app.post(
    '/v1/snapshots/import',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        operationId: 'importSnapshot',
        summary:
          'Make a snapshot, and its image where that is not here, of a file that an export has written',
        body: SnapshotImportRequest,
        response: { 201: ImportedSnapshot },
      },
    },
    async (request, reply) =>
      reply.status(201).send(await products.import(request.body, openScope(log, callerSignal(reply)))),
  )

  app.delete(
    '/v1/snapshots/:id',
    {
      schema: {
        tags,
        operationId: 'removeSnapshot',
        summary: 'Give a snapshot up; its files go when the last instance that lives on them has ended',
        params,
        querystring: SnapshotRemoveQuery,
        response: { 200: Removed },
      },
    },
    async (request) => ({ removed: await products.snapshots.remove(request.params.id, request.query) }),
  )
}
