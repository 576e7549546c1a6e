import {
  CodeContentParams,
  CodeManifest,
  CodeParams,
  CodeState,
  LARGEST_FILE,
  Service,
  ServiceAnswer,
  ServiceCallParams,
  ServiceCallQuery,
  ServiceList,
  ServiceRequest,
  ServiceStopList,
  NameParams,
} from '@thaw/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { openScope, ThawError } from '../system/index.js'
import { callerSignal } from './caller.js'
import type { ApiContext } from './context.js'
import { LogBytes } from './logs.js'
import { requestId } from './request-id.js'
import type { Routes } from './server.js'
import { streamCall } from './service-stream.js'

const tags = ['services']
const params = NameParams
/** Most bytes of a call's arguments. */
const LARGEST = 256 * 1024 * 1024

const KINDS: Record<string, 'json' | 'bytes' | 'pickle'> = {
  'application/json': 'json',
  'application/octet-stream': 'bytes',
  'application/x-python-pickle': 'pickle',
}
const TYPES = {
  json: 'application/json',
  bytes: 'application/octet-stream',
  pickle: 'application/x-python-pickle',
}

export function serviceRoutes(app: Routes, context: ApiContext): void {
  const { services, log } = context

  app.get(
    '/v1/services',
    {
      schema: {
        tags,
        operationId: 'listServices',
        summary: 'All services, by name',
        response: { 200: ServiceList },
      },
    },
    () => ({ services: services.list() }),
  )

  app.post(
    '/v1/services',
    {
      schema: {
        tags,
        operationId: 'deployService',
        summary: 'Make a service, or bring the one of this name to what is asked',
        description:
          'Answers when it serves. Of a service that is there only what has changed is loaded; names that could be called stay. A service of the same name for another file or class is SERVICE_EXISTS.',
        body: ServiceRequest,
        response: { 200: Service },
      },
    },
    (request) => services.deploy(request.body, openScope(log)),
  )

  app.get(
    '/v1/services/:id',
    {
      schema: { tags, operationId: 'getService', summary: 'One service', params, response: { 200: Service } },
    },
    (request) => services.get(request.params.id).describe(),
  )

  app.delete(
    '/v1/services/:id',
    {
      schema: {
        tags,
        operationId: 'removeService',
        summary: 'End a service, and forget its state',
        params,
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      await services.remove(request.params.id)
      return reply.status(204).send(null)
    },
  )

  const verbs = {
    reset: 'Go back to the state right after loading',
    restart: 'Load everything anew',
    freeze: 'Put it on disk with its state; the next call brings it back',
    thaw: 'Bring it back from disk, or start it',
    stop: 'End its processes; the next call starts it',
  } as const
  for (const verb of ['reset', 'restart', 'freeze', 'thaw', 'stop'] as const) {
    app.post(
      `/v1/services/:id/${verb}`,
      {
        schema: {
          tags,
          operationId: `${verb}Service`,
          summary: verbs[verb],
          params,
          response: { 200: Service },
        },
      },
      async (request) => {
        const service = services.get(request.params.id)
        await service[verb](openScope(log))
        return service.describe()
      },
    )
  }

  app.get(
    '/v1/services/:id/stops',
    {
      schema: {
        tags,
        operationId: 'listServiceStops',
        summary: 'Calls that stand at a breakpoint, the one that waits longest first',
        params,
        response: { 200: ServiceStopList },
      },
    },
    (request) => ({ stops: services.get(request.params.id).stops.list() }),
  )

  app.get(
    '/v1/services/:id/logs',
    {
      schema: {
        tags,
        operationId: 'getServiceLogs',
        summary: 'What it has printed',
        params,
        querystring: z.strictObject({ follow: z.stringbool().default(false) }),
        response: { 200: LogBytes },
      },
    },
    (request, reply): void => {
      const parts = services.get(request.params.id).log.read(request.query.follow, callerSignal(reply))
      const bytes = async function* () {
        for await (const part of parts) yield part.bytes
      }
      void reply.type('application/octet-stream').send(Readable.from(bytes(), { objectMode: false }) as never)
    },
  )

  app.put(
    '/v1/services/:id/code',
    {
      schema: {
        tags,
        operationId: 'putServiceCode',
        summary: 'Tell which files the code of a service on another machine has',
        description:
          'Answers which contents are missing here; they are sent one by one, and then this is asked again. When nothing is missing the directory `root` holds exactly these files, and can be deployed. Calls see all of an edit, or nothing.',
        params: CodeParams,
        body: CodeManifest,
        response: { 200: CodeState },
      },
    },
    (request) => services.putCode(request.params.id, request.body),
  )

  void app.register(async (scope) => {
    const calls = scope.withTypeProvider<ZodTypeProvider>()
    // Arguments are the function's own: nothing here looks into them.
    calls.removeAllContentTypeParsers()
    calls.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: LARGEST }, (_request, body, done) => {
      done(null, body)
    })
    calls.put(
      '/v1/services/:id/code/:sha256',
      {
        bodyLimit: LARGEST_FILE,
        schema: {
          tags,
          operationId: 'putServiceContent',
          summary: 'Send a content that is missing',
          params: CodeContentParams,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        const content = (request.body as Buffer | undefined) ?? new Uint8Array(0)
        services.receiveCode(request.params.id, request.params.sha256, content)
        return reply.status(204).send(null)
      },
    )
    calls.post(
      '/v1/services/:id/call/:fn',
      {
        bodyLimit: LARGEST,
        schema: {
          tags,
          operationId: 'callService',
          summary: 'Call a function of a service',
          description:
            'The body is a JSON list of positional arguments; or an object of named ones; or an object with `args` and `kwargs` and nothing else, which holds both. Bytes (`application/octet-stream`) are one argument, and a function that returns bytes or a file answers so. With `Accept: text/event-stream` what it prints arrives as it is printed: events `stdout` and `stderr`, then `result` or `error`.',
          params: ServiceCallParams,
          querystring: ServiceCallQuery,
          response: { 200: ServiceAnswer },
        },
        serializerCompiler: () => (data) => JSON.stringify(data),
      },
      (request, reply) =>
        call(context, request as CallRoute, reply as unknown as FastifyReply) as Promise<never>,
    )
  })
}

type CallRoute = FastifyRequest<{ Params: z.output<typeof ServiceCallParams>; Querystring: ServiceCallQuery }>

async function call(
  { services, access }: ApiContext,
  request: CallRoute,
  reply: FastifyReply,
): Promise<unknown> {
  const { id, fn } = request.params
  const { timeout, version = null, isolation } = request.query
  const kind = KINDS[(request.headers['content-type'] ?? 'application/json').split(';', 1)[0]?.trim() ?? '']
  if (kind === undefined) {
    throw new ThawError('INVALID_REQUEST', `Arguments are ${Object.keys(KINDS).join(', ')}.`)
  }
  if (kind === 'pickle' && access.isShared(request.raw)) {
    throw new ThawError(
      'FORBIDDEN',
      'Pickled objects are taken over the unix socket only: loading one can do anything.',
    )
  }
  const { compute } = services.get(id).request
  const given = {
    id: requestId(request),
    fn,
    kind,
    body: (request.body as Buffer | undefined) ?? new Uint8Array(0),
    timeout: timeout ?? compute.timeout,
    isolation: isolation ?? compute.isolation,
    signal: callerSignal(reply),
  }
  if (/\btext\/event-stream\b/.test(request.headers.accept ?? '')) {
    return await streamCall(reply, (printed) => services.call(id, { ...given, printed }, version))
  }
  const called = await services.call(id, { ...given, printed: () => undefined }, version)
  const { seconds, grown, stale, repaired } = called
  reply.headers({ 'content-type': TYPES[called.kind], 'thaw-code': called.version })
  if (called.kind !== 'json') return reply.send(called.body)
  const rest = { version: called.version, seconds, memory_growth: grown, stale, repaired }
  return reply.send(
    Buffer.concat([Buffer.from('{"result":'), called.body, Buffer.from(`,${JSON.stringify(rest).slice(1)}`)]),
  )
}
