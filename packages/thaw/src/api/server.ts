import swagger from '@fastify/swagger'
import { API_VERSION, ERRORS } from '@thaw/protocol'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  type RawServerDefault,
} from 'fastify'
import {
  hasZodFastifySchemaValidationErrors,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import { finished } from 'node:stream'
import { ThawError } from '../system/index.js'
import { VERSION } from '../version.js'
import type { Needed } from './access.js'
import { branchRoutes } from './branch-routes.js'
import { acceptBytes } from './bytes.js'
import { checkpointRoutes } from './checkpoint-routes.js'
import type { ApiContext } from './context.js'
import { containerRoutes } from './container-routes.js'
import { daemonRoutes } from './daemon-routes.js'
import { documentRoutes } from './document-routes.js'
import { acceptKeys } from './idempotency.js'
import { completeSchema, openApi } from './openapi.js'
import { imageRoutes } from './image-routes.js'
import { instanceRoutes } from './instance-routes.js'
import { operationRoutes } from './operation-routes.js'
import { poolRoutes } from './pool-routes.js'
import { requestId } from './request-id.js'
import { repairRoutes } from './repair-routes.js'
import { startRepair } from './repair-stream.js'
import { runRoutes } from './run-routes.js'
import { serviceRoutes } from './service-routes.js'
import { snapshotRoutes } from './snapshot-routes.js'
import { acceptStreams, checkBuild } from './stream.js'
import { streamRoutes } from './stream-routes.js'
import { tokenRoutes } from './token-routes.js'

export type Routes = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller over TCP must be allowed; when left out, `read` for GET and `run` for all else. */
    scope?: Needed
  }
}

/** A resource of the API is one of these and its schemas in the protocol. */
const ROUTES: readonly ((app: Routes, context: ApiContext) => void)[] = [
  runRoutes,
  branchRoutes,
  checkpointRoutes,
  operationRoutes,
  imageRoutes,
  instanceRoutes,
  snapshotRoutes,
  poolRoutes,
  containerRoutes,
  serviceRoutes,
  repairRoutes,
  streamRoutes,
  daemonRoutes,
  tokenRoutes,
  documentRoutes,
]

const STREAMS = { '/v1/repairs/stream': startRepair }

/** The whole HTTP surface, not yet listening. */
export async function buildServer(context: ApiContext): Promise<FastifyInstance> {
  const app = Fastify({
    logger: false,
    bodyLimit: 8 * 1024 * 1024,
    forceCloseConnections: true,
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 1000 },
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(async (error, request, reply) => {
    const known = toThawError(error)
    if (known.status === 413) await passOver(request.raw)
    if (known.code === 'INTERNAL') {
      context.log.error('request failed', { route: routeOf(request), request: requestId(request), error })
    }
    if (known.code === 'UNAUTHORIZED') reply.header('www-authenticate', 'Bearer realm="thaw"')
    if (known.status === 429) reply.header('retry-after', '1')
    return reply
      .status(known.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem(known)))
  })
  app.setNotFoundHandler((request) => {
    throw new ThawError('NOT_FOUND', `There is no ${request.method} ${request.url.slice(0, 200)}.`)
  })
  const callers = new WeakMap<FastifyRequest, string>()
  guard(app, context, callers)
  acceptBytes(app)
  acceptKeys(app, (request) => callers.get(request) ?? '')
  app.addHook('onRoute', completeSchema)
  await app.register(swagger, openApi())
  await app.register(async (scope) => {
    for (const routes of ROUTES) routes(scope.withTypeProvider<ZodTypeProvider>(), context)
  })
  acceptStreams(app.server, context, STREAMS)
  return app
}

/** Serves the API on another server as well. Prerequisite: `app` is ready. */
export function serveAlso(app: FastifyInstance, context: ApiContext): (server: HttpServer) => void {
  return (server) => {
    server.on('request', (request, response) => app.routing(request, response))
    acceptStreams(server, context, STREAMS)
  }
}

/** Who calls is settled before anything of the request is read. */
function guard(app: FastifyInstance, context: ApiContext, callers: WeakMap<FastifyRequest, string>): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'thaw-version': VERSION, 'thaw-api': API_VERSION, 'x-content-type-options': 'nosniff' })
    if (context.access.isShared(request.raw)) {
      reply.headers({
        'access-control-allow-origin': '*',
        'access-control-expose-headers':
          'location, thaw-version, thaw-code, x-request-id, idempotency-replayed',
      })
      if (request.method === 'OPTIONS') {
        return reply
          .headers({
            'access-control-allow-methods': 'GET, POST, PUT, DELETE',
            'access-control-allow-headers':
              'authorization, content-type, idempotency-key, prefer, last-event-id, x-request-id',
            'access-control-max-age': '600',
          })
          .status(204)
          .send()
      }
    }
    reply.header('x-request-id', requestId(request))
    checkBuild(request.headers['thaw-build'], context)
    const needed = request.is404 ? 'read' : (request.routeOptions.config.scope ?? 'admin')
    callers.set(request, context.access.check(request.raw, needed))
    const leave = context.access.enter(request.raw)
    reply.raw.once('close', leave)
    return undefined
  })
  app.addHook('onResponse', async (request, reply) => {
    context.metrics.request(request.method, routeOf(request), reply.statusCode, reply.elapsedTime / 1000)
  })
}

/** Milliseconds for the rest of a body that is too large. */
const REST_TIME = 5000

/** Who is still sending would lose the answer when the connection closed under him. */
async function passOver(body: IncomingMessage): Promise<void> {
  const timer = setTimeout(() => body.destroy(), REST_TIME)
  body.resume()
  await new Promise((resolve) => finished(body, resolve))
  clearTimeout(timer)
}

const routeOf = (request: FastifyRequest) => request.routeOptions.url ?? 'none'

/** RFC 9457, with thaw's own members. */
function problem(error: ThawError): Record<string, unknown> {
  return {
    type: `/docs#${error.code}`,
    title: ERRORS[error.code].when,
    status: error.status,
    ...error.toBody(),
  }
}

function toThawError(error: unknown): ThawError {
  if (error instanceof ThawError) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map(
      (issue) => `${issue.instancePath || '/'}: ${issue.message ?? 'does not fit'}`,
    )
    return new ThawError('INVALID_REQUEST', `The request does not fit: ${issues.join('; ')}.`, {
      cause: error,
    })
  }
  const status = (error as { statusCode?: number }).statusCode
  if (status === 413) return new ThawError('PAYLOAD_TOO_LARGE', 'The body is too large.', { cause: error })
  if (status !== undefined && status >= 400 && status < 500) {
    return new ThawError('INVALID_REQUEST', `${(error as Error).message}.`, { cause: error })
  }
  return ThawError.from(error)
}
