import { AppRequest, AppRequestHeaders, NameParams, Service } from '@thaw/protocol'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { openScope } from '../system/index.js'
import { proxyRequest } from './app-proxy.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const tags = ['services']

export function appRoutes(app: Routes, context: ApiContext): void {
  const { services, log } = context

  app.post(
    '/v1/services/apps',
    {
      schema: {
        tags,
        operationId: 'deployApp',
        summary: 'Make an app, or bring the one of this name to what is asked',
        description:
          'Answers when it is ready. A service of the same name for another command or directory is SERVICE_EXISTS.',
        body: AppRequest,
        response: { 200: Service },
      },
    },
    (request) => services.deployApp(request.body, openScope(log)),
  )

  // Bodies and answers are the app's own: they pass before anything here would look into them.
  const onRequest = (request: Parameters<typeof proxyRequest>[1], reply: unknown) =>
    proxyRequest(context, request, reply as FastifyReply)
  const config = { scope: 'run' } as const
  const handler = () => {
    throw new Error('answered before')
  }
  app.get(
    '/v1/services/:id/app/*',
    {
      onRequest,
      config,
      schema: {
        tags,
        operationId: 'askApp',
        summary: 'Ask an app: any method, any path below, WebSockets too',
        description:
          'The request is carried to the app as it is, with the path below `app`, and so is the answer. An app that rests is brought back first.',
        params: NameParams.extend({ '*': z.string().describe('Path for the app.') }),
        headers: AppRequestHeaders,
        response: { 200: z.unknown().describe('What the app answers.') },
      },
    },
    handler,
  )
  const others = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
  app.route({
    method: others,
    url: '/v1/services/:id/app/*',
    onRequest,
    config,
    schema: { hide: true },
    handler,
  })
  for (const method of ['GET', ...others]) {
    app.route({ method, url: '/v1/services/:id/app', onRequest, config, schema: { hide: true }, handler })
  }
}
