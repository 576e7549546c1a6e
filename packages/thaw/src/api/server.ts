import swagger from '@fastify/swagger'
import { API_VERSION } from '@thaw/protocol'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  createJsonSchemaTransform,
  hasZodFastifySchemaValidationErrors,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { ThawError } from '../system/index.js'
import { VERSION } from '../version.js'
import type { ApiContext } from './context.js'
import { daemonRoutes } from './daemon-routes.js'
import { repairRoutes } from './repair-routes.js'
import { startRepair } from './repair-stream.js'
import { runRoutes } from './run-routes.js'
import { acceptStreams } from './stream.js'

export type Server = FastifyInstance

/** The whole HTTP surface, not yet listening. */
export async function buildServer(context: ApiContext): Promise<Server> {
  const app = Fastify({ logger: false, bodyLimit: 8 * 1024 * 1024, forceCloseConnections: true })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler((error, request, reply) => {
    const known = toThawError(error)
    if (known.code === 'INTERNAL') context.log.error('request failed', { url: request.url, error })
    return reply.status(known.status).type('application/json').send(JSON.stringify(known.toBody()))
  })
  app.setNotFoundHandler((request) => {
    throw new ThawError('INVALID_REQUEST', `There is no ${request.method} ${request.url}.`)
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'thaw',
        version: VERSION,
        description: 'Run a program once; from then on, run only what your edit changed.',
      },
      tags: [{ name: 'runs' }, { name: 'repairs' }, { name: 'daemon' }],
    },
    transform: createJsonSchemaTransform({}),
  })
  const typed = app.withTypeProvider<ZodTypeProvider>()
  await typed.register(async (scope) => {
    runRoutes(scope.withTypeProvider<ZodTypeProvider>(), context)
    repairRoutes(scope.withTypeProvider<ZodTypeProvider>(), context)
    daemonRoutes(scope.withTypeProvider<ZodTypeProvider>(), context)
  })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  app.addHook('onSend', async (_request, reply) => {
    reply.header('thaw-version', VERSION)
    reply.header('thaw-api', API_VERSION)
  })
  acceptStreams(app.server, context, { '/v1/repairs/stream': startRepair })
  return app
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
