/** What describes the API, and what watches the daemon. */
import type { ApiContext } from './context.js'
import { docsPage } from './docs-page.js'
import type { Routes } from './server.js'
import { z } from 'zod'

const text = (type: string, description: string) => ({
  description,
  content: { [type]: { schema: z.string() } },
})

/** Nothing is loaded from anywhere, and nothing runs. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export function documentRoutes(app: Routes, context: ApiContext): void {
  app.get('/openapi.json', { config: { scope: 'public' }, schema: { hide: true } }, () => app.swagger())

  app.get('/docs', { config: { scope: 'public' }, schema: { hide: true } }, (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', POLICY)
      .send(docsPage(app.swagger() as Parameters<typeof docsPage>[0])),
  )

  app.get(
    '/metrics',
    {
      schema: {
        tags: ['daemon'],
        operationId: 'getMetrics',
        summary: 'Counts and durations, for Prometheus',
        response: { 200: text('text/plain', "Prometheus' text format.") },
      },
    },
    async (_request, reply) => {
      reply.header('content-type', context.metrics.contentType)
      return reply.send(await context.metrics.text())
    },
  )
}
