import {
  ExecRequest,
  ExecResult,
  ForkRequest,
  Instance,
  InstanceCheckpoint,
  InstanceCheckpointList,
  InstanceCheckpointRequest,
  InstanceFileQuery,
  InstanceList,
  InstanceLogsQuery,
  InstancePutQuery,
  InstanceRequest,
  InstanceStats,
  NameParams,
  RemoveQuery,
  StopRequest,
} from '@thaw/protocol'
import { Readable } from 'node:stream'
import { z } from 'zod'
import { openScope } from '../system/index.js'
import { bytesOf } from './bytes.js'
import { callerSignal } from './caller.js'
import type { ApiContext } from './context.js'
import { LogBytes, tailOf } from './logs.js'
import type { Routes } from './server.js'

const tags = ['instances']
/** Of what a command prints, so much is part of the answer, for each stream. */
const MOST_PRINTED = 1_000_000
const Bytes = {
  description: 'The content.',
  content: { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } },
}
const params = NameParams

export function instanceRoutes(app: Routes, context: ApiContext): void {
  const { products, log } = context
  const instances = () => products.instances

  app.get(
    '/v1/instances',
    {
      schema: {
        tags,
        operationId: 'listInstances',
        summary: 'All instances, the newest first',
        response: { 200: InstanceList },
      },
    },
    () => ({ instances: instances().list() }),
  )

  app.post(
    '/v1/instances',
    {
      schema: {
        tags,
        operationId: 'createInstance',
        summary: 'Make an instance of an image: from a pool, from a snapshot, or by a start',
        description:
          'Answers once it is ready (201); with `Prefer: respond-async` at once (202), and its state then tells. Whoever goes away before he was answered has it undone.',
        headers: z.looseObject({ prefer: z.string().optional() }),
        body: InstanceRequest,
        response: { 201: Instance, 202: Instance },
      },
    },
    async (request, reply) => {
      const later = /(?:^|,)\s*respond-async\s*(?:,|$)/.test(request.headers.prefer ?? '')
      const scope = later ? openScope(log) : openScope(log, callerSignal(reply))
      const { instance, ready } = products.provision.create(request.body, scope)
      reply.header('location', `/v1/instances/${instance.id}`)
      if (later) return reply.status(202).header('preference-applied', 'respond-async').send(instance)
      return reply.status(201).send(await ready)
    },
  )

  app.get(
    '/v1/instances/:id',
    {
      schema: {
        tags,
        operationId: 'getInstance',
        summary: 'One instance',
        params,
        response: { 200: Instance },
      },
    },
    (request) => instances().get(request.params.id),
  )

  app.delete(
    '/v1/instances/:id',
    {
      schema: {
        tags,
        operationId: 'removeInstance',
        summary: 'Forget an instance, with its logs; with `cascade` its checkpoints as well',
        params,
        querystring: RemoveQuery,
        response: { 200: Instance },
      },
    },
    (request) => instances().remove(request.params.id, request.query),
  )

  app.post(
    '/v1/instances/:id/exec',
    {
      schema: {
        tags,
        operationId: 'execInInstance',
        summary: 'Run a command in an instance, to its end',
        description: 'With a stream of its own (input, a terminal) at /v1/instances/{id}/exec/stream.',
        params,
        body: ExecRequest.omit({ terminal: true, stdin: true, joined: true }).extend({
          input: z.string().nullable().default(null).describe('What it reads on stdin; null: nothing.'),
        }),
        response: { 200: ExecResult },
      },
    },
    async (request, reply) => {
      const { input, ...asked } = request.body
      const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
      const sizes = { stdout: 0, stderr: 0 }
      const listener = {
        output(stream: 'stdout' | 'stderr', bytes: Buffer) {
          if (sizes[stream] < MOST_PRINTED) {
            printed[stream].push(Buffer.from(bytes.subarray(0, MOST_PRINTED - sizes[stream])))
          }
          sizes[stream] += bytes.length
          return true
        },
      }
      const stdin = input === null ? ('null' as const) : ('stream' as const)
      const streams = { stdin, joined: false, terminal: null }
      const entered = await instances().exec(
        request.params.id,
        { ...asked, streams, listener },
        openScope(log),
      )
      callerSignal(reply).addEventListener('abort', () => void entered[Symbol.asyncDispose]())
      if (input !== null) void entered.writeStdin(Buffer.from(input)).then(() => entered.endStdin())
      const exit = await entered.exited
      return {
        exit,
        stdout: Buffer.concat(printed.stdout).toString('utf8'),
        stderr: Buffer.concat(printed.stderr).toString('utf8'),
        truncated: Math.max(sizes.stdout, sizes.stderr) > MOST_PRINTED,
      }
    },
  )

  app.get(
    '/v1/instances/:id/logs',
    {
      schema: {
        tags,
        operationId: 'readInstanceLogs',
        summary: 'What an instance has printed, the newest part of it, in order',
        params,
        querystring: InstanceLogsQuery,
        response: { 200: LogBytes },
      },
    },
    (request, reply) => {
      const { stream, follow, tail } = request.query
      const signal = callerSignal(reply)
      const bytes = async function* (follows: boolean): AsyncGenerator<Uint8Array> {
        for await (const part of instances().logs(request.params.id, follows, signal)) {
          if (stream === 'both' || part.stream === stream) yield part.bytes
        }
      }
      instances().get(request.params.id)
      const sent = tail === undefined || follow ? bytes(follow) : tailOf(bytes(false), tail)
      void reply.type('application/octet-stream').send(Readable.from(sent, { objectMode: false }) as never)
    },
  )

  app.get(
    '/v1/instances/:id/stats',
    {
      schema: {
        tags,
        operationId: 'getInstanceStats',
        summary: 'What an instance uses',
        params,
        response: { 200: InstanceStats },
      },
    },
    (request) => instances().stats(request.params.id),
  )

  for (const verb of ['pause', 'resume'] as const) {
    app.post(
      `/v1/instances/:id/${verb}`,
      {
        schema: {
          tags,
          operationId: `${verb}Instance`,
          summary: verb === 'pause' ? 'Have an instance stand still' : 'Have a paused instance go on',
          params,
          response: { 200: Instance },
        },
      },
      (request) => instances()[verb](request.params.id),
    )
  }

  app.post(
    '/v1/instances/:id/stop',
    {
      schema: {
        tags,
        operationId: 'stopInstance',
        summary: 'End an instance; what is known of it stays',
        params,
        body: StopRequest,
        response: { 200: Instance },
      },
    },
    (request) => instances().stop(request.params.id, request.body),
  )

  app.get(
    '/v1/instances/:id/checkpoints',
    {
      schema: {
        tags,
        operationId: 'listInstanceCheckpoints',
        summary: 'The checkpoints of an instance, the newest first',
        params,
        response: { 200: InstanceCheckpointList },
      },
    },
    (request) => ({ checkpoints: instances().checkpoints(request.params.id) }),
  )

  app.post(
    '/v1/instances/:id/checkpoints',
    {
      schema: {
        tags,
        operationId: 'checkpointInstance',
        summary: 'Take a checkpoint of an instance, which runs on',
        params,
        body: InstanceCheckpointRequest,
        response: { 201: InstanceCheckpoint },
      },
    },
    async (request, reply) =>
      reply.status(201).send(await instances().checkpoint(request.params.id, request.body)),
  )

  app.delete(
    '/v1/instance-checkpoints/:id',
    {
      schema: {
        tags,
        operationId: 'removeInstanceCheckpoint',
        summary: 'Remove a checkpoint that no clone lives on',
        params,
        response: { 200: InstanceCheckpoint },
      },
    },
    (request) => instances().removeCheckpoint(request.params.id),
  )

  app.post(
    '/v1/instances/:id/fork',
    {
      schema: {
        tags,
        operationId: 'forkInstance',
        summary: 'Clones of an instance as it is now, or as it was at a checkpoint',
        description: 'Answers once all are ready. When one cannot be made, none is left.',
        params,
        body: ForkRequest,
        response: { 201: InstanceList },
      },
    },
    async (request, reply) => {
      const scope = openScope(log, callerSignal(reply))
      const made = await instances().fork(request.params.id, request.body, scope)
      return reply.status(201).send({ instances: made })
    },
  )

  app.get(
    '/v1/instances/:id/file',
    {
      schema: {
        tags,
        operationId: 'readInstanceFile',
        summary: 'The content of a file of an instance',
        params,
        querystring: InstanceFileQuery,
        response: { 200: Bytes },
      },
    },
    async (request, reply) => {
      const { content, mode } = await instances().readFile(request.params.id, request.query.path)
      return reply
        .type('application/octet-stream')
        .header('thaw-mode', mode.toString(8))
        .send(content as never)
    },
  )

  app.put(
    '/v1/instances/:id/file',
    {
      schema: {
        tags,
        operationId: 'writeInstanceFile',
        summary: 'Put a file into an instance, in one step; directories on the way are made',
        description: 'The content is the body, as application/octet-stream.',
        params,
        querystring: InstancePutQuery,
        response: { 200: z.object({}) },
      },
    },
    async (request) => {
      const { path, mode } = request.query
      await instances().writeFile(request.params.id, path, bytesOf(request.body), mode)
      return {}
    },
  )
}
