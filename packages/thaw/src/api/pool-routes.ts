import { Instance, NameParams, Pool, PoolList, PoolRequest, PoolResize } from '@thaw/protocol'
import { z } from 'zod'
import { openScope } from '../system/index.js'
import { callerSignal } from './caller.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'
import { TakeRequest } from './snapshot-routes.js'

const tags = ['pools']
const params = NameParams
const Headers = z.looseObject({
  prefer: z.string().max(200).optional().describe('`respond-async`: answer before it is full.'),
})

export function poolRoutes(app: Routes, { products, log }: ApiContext): void {
  const isLater = (prefer = '') => /(?:^|,)\s*respond-async\s*(?:,|$)/.test(prefer)

  app.get(
    '/v1/pools',
    {
      schema: {
        tags,
        operationId: 'listPools',
        summary: 'All pools, the newest first',
        response: { 200: PoolList },
      },
    },
    () => ({ pools: products.pools.list() }),
  )

  app.post(
    '/v1/pools',
    {
      schema: {
        tags,
        operationId: 'createPool',
        summary: 'Keep copies of snapshots restored, standing still until they are taken',
        description: 'Answers when it is full, or cannot be filled; its `reason` then tells why.',
        headers: Headers,
        body: PoolRequest,
        response: { 201: Pool, 202: Pool },
      },
    },
    async (request, reply) => {
      const made = products.pools.create(request.body)
      reply.header('location', `/v1/pools/${made.id}`)
      if (isLater(request.headers.prefer)) return reply.status(202).send(made)
      return reply.status(201).send(await products.pools.warm(made.id))
    },
  )

  app.get(
    '/v1/pools/:id',
    {
      schema: { tags, operationId: 'getPool', summary: 'One pool', params, response: { 200: Pool } },
    },
    (request) => products.pools.get(request.params.id),
  )

  app.post(
    '/v1/pools/:id/take',
    {
      schema: {
        tags,
        operationId: 'takeFromPool',
        summary: 'A member as an instance; of a pool that is empty, one of its snapshot, or by a start',
        params,
        body: TakeRequest,
        response: { 201: Instance },
      },
    },
    async (request, reply) => {
      const scope = openScope(log, callerSignal(reply))
      return reply
        .status(201)
        .send(await products.provision.take(request.params.id, request.body, scope).ready)
    },
  )

  app.post(
    '/v1/pools/:id/resize',
    {
      schema: {
        tags,
        operationId: 'resizePool',
        summary: 'Another number of members; a pool that was drained begins again',
        params,
        body: PoolResize,
        response: { 200: Pool },
      },
    },
    (request) => products.pools.resize(request.params.id, request.body.size),
  )

  const verbs = {
    warm: ['warmPool', 'Wait until a pool is full, or cannot be filled'],
    drain: ['drainPool', 'End the members of a pool, which gives nothing until it is resized'],
    refresh: ['refreshPool', 'Replace every member of a pool by a new one'],
  } as const
  for (const verb of ['warm', 'drain', 'refresh'] as const) {
    const [operationId, summary] = verbs[verb]
    app.post(
      `/v1/pools/:id/${verb}`,
      { schema: { tags, operationId, summary, params, response: { 200: Pool } } },
      (request) => products.pools[verb](request.params.id),
    )
  }

  app.delete(
    '/v1/pools/:id',
    {
      schema: {
        tags,
        operationId: 'removePool',
        summary: 'End a pool; what was taken from it lives on',
        params,
        response: { 200: Pool },
      },
    },
    (request) => products.pools.remove(request.params.id),
  )
}
