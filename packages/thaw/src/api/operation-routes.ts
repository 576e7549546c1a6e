import { IdParams, Operation, OperationEvent, OperationList, OperationQuery } from '@thaw/protocol'
import type { FastifyReply } from 'fastify'
import type { OutgoingHttpHeaders } from 'node:http'
import { z } from 'zod'
import type { ApiContext } from './context.js'
import { serveEvents } from './events.js'
import type { Task } from './operations.js'
import { pageOf, timeKey } from './paging.js'
import type { Routes } from './server.js'

const tags = ['operations']

/** Seconds that a request may wait at most. */
const MOST_WAIT = 600

/** Of requests that begin long work. */
export const WaitHeaders = z.looseObject({
  prefer: z
    .string()
    .max(200)
    .optional()
    .describe(`\`wait=SECONDS\`: answer at the end, or after so many seconds (at most ${MOST_WAIT}).`),
})

/** 200 when it has ended within the time that the caller would wait, else 202. */
export async function answerOperation(
  task: Task,
  headers: z.output<typeof WaitHeaders>,
  reply: FastifyReply,
): Promise<Operation> {
  const wait = Number(/(?:^|[,;\s])wait=(\d{1,6})\b/.exec(headers.prefer ?? '')?.[1] ?? 0)
  if (wait > 0) {
    let timer: NodeJS.Timeout | undefined
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.min(wait, MOST_WAIT) * 1000)
      // Nobody waits any more: the work goes on, the request does not.
      reply.raw.once('close', () => resolve())
    })
    await Promise.race([task.ended, over])
    clearTimeout(timer)
  }
  const { operation } = task
  reply.status(operation.state === 'running' ? 202 : 200).header('location', `/v1/operations/${operation.id}`)
  return operation
}

export function operationRoutes(app: Routes, { operations, runs }: ApiContext): void {
  app.get(
    '/v1/operations',
    {
      schema: {
        tags,
        operationId: 'listOperations',
        summary: 'Runs and resumes begun over this API, the latest first',
        querystring: OperationQuery,
        response: { 200: OperationList },
      },
    },
    (request) => {
      const { state } = request.query
      const all = operations.list().filter((one) => state === undefined || one.state === state)
      const { items, next } = pageOf(all, request.query, ({ started_at, id }) =>
        timeKey(Date.parse(started_at), id),
      )
      return { operations: items, next }
    },
  )

  app.get(
    '/v1/operations/:id',
    {
      schema: {
        tags,
        operationId: 'getOperation',
        summary: 'One operation; with `Prefer: wait=SECONDS` at its end, if that comes in time',
        params: IdParams,
        headers: WaitHeaders,
        response: { 200: Operation, 202: Operation },
      },
    },
    (request, reply) => answerOperation(operations.get(request.params.id), request.headers, reply),
  )

  app.get(
    '/v1/operations/:id/events',
    {
      schema: {
        tags,
        operationId: 'followOperation',
        summary: 'What its programs print, and its end, as server-sent events from its beginning',
        description:
          'The data of each event is JSON. A reader that comes again with Last-Event-ID gets what he has not had.',
        params: IdParams,
        headers: z.looseObject({ 'last-event-id': z.string().max(10_000).optional() }),
        response: {
          200: {
            description: 'Events until the operation has ended.',
            content: { 'text/event-stream': { schema: OperationEvent } },
          },
        },
      },
    },
    async (request, reply) => {
      const task = operations.get(request.params.id)
      reply.hijack()
      const headers = reply.getHeaders() as OutgoingHttpHeaders
      await serveEvents(task, runs, reply.raw, request.headers['last-event-id'], headers)
    },
  )

  app.post(
    '/v1/operations/:id/cancel',
    {
      schema: {
        tags,
        operationId: 'cancelOperation',
        summary: 'End its programs; one that has ended stays as it is',
        params: IdParams,
        response: { 200: Operation },
      },
    },
    async (request) => {
      const task = operations.get(request.params.id)
      await task.cancel()
      return task.operation
    },
  )
}
