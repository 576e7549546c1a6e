import { IdParams, NewToken, TokenList, TokenRequest } from '@thaw/protocol'
import { z } from 'zod'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const tags = ['daemon']
const config = { scope: 'admin' } as const

export function tokenRoutes(app: Routes, { tokens }: ApiContext): void {
  app.get(
    '/v1/tokens',
    {
      config,
      schema: { tags, operationId: 'listTokens', summary: 'Tokens for TCP', response: { 200: TokenList } },
    },
    () => ({ tokens: tokens.list() }),
  )

  app.post(
    '/v1/tokens',
    {
      config,
      schema: {
        tags,
        operationId: 'createToken',
        summary: 'Make a token for TCP; it is shown this once',
        body: TokenRequest,
        response: { 201: NewToken },
      },
    },
    async (request, reply) => {
      reply.status(201).header('cache-control', 'no-store')
      return tokens.create(request.body)
    },
  )

  app.delete(
    '/v1/tokens/:id',
    {
      config,
      schema: {
        tags,
        operationId: 'removeToken',
        summary: 'Make a token worthless at once',
        params: IdParams,
        response: { 200: z.object({}) },
      },
    },
    async (request) => {
      await tokens.remove(request.params.id)
      return {}
    },
  )
}
