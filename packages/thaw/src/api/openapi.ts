/** What makes a description of the API out of its routes. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { ErrorAnswer } from '@thaw/protocol'
import type { RouteOptions } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { VERSION } from '../version.js'

const Problem = {
  description: 'What happened, and what to do.',
  content: { 'application/problem+json': { schema: ErrorAnswer } },
}

const IdempotencyKey = z
  .string()
  .max(255)
  .optional()
  .describe('The same key with the same request gets the answer of the first, and does nothing.')

/** What holds for every route is said once: who may call it, how it fails, and keys of requests that do something. */
export function completeSchema(route: RouteOptions): void {
  const isRead = route.method === 'GET' || route.method === 'HEAD'
  const scope = route.config?.scope ?? (isRead ? 'read' : 'run')
  route.config = { ...route.config, scope }
  const { schema } = route
  if (schema === undefined || schema.hide === true) return
  schema.security = scope === 'public' ? [] : [{ token: [scope] }]
  schema.response = { ...(schema.response as object), '4xx': Problem, '5xx': Problem }
  if (route.method !== 'POST') return
  const headers = (schema.headers as z.ZodObject | undefined) ?? z.looseObject({})
  schema.headers = headers.extend({ 'idempotency-key': IdempotencyKey })
}

export function openApi(): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'thaw',
        version: VERSION,
        description:
          'Run a program once; from then on, run only what your edit changed. On the unix socket its owner may call everything; over TCP calls carry a token.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'The daemon that serves this description.' }],
      tags: [
        { name: 'runs', description: 'Commands that have been run.' },
        { name: 'branches', description: 'Live processes of runs, and what they printed.' },
        { name: 'checkpoints', description: 'Points of a run that can be restored any number of times.' },
        { name: 'operations', description: 'Work that goes on after its request was answered.' },
        { name: 'images', description: 'How something starts.' },
        { name: 'instances', description: 'What was started from an image, in a sandbox of its own.' },
        { name: 'snapshots', description: 'Images that were started once, kept when they were ready.' },
        { name: 'pools', description: 'Copies of snapshots that wait to be taken.' },
        { name: 'services', description: 'Functions that are kept warm behind a name.' },
        { name: 'containers', description: 'Snapshots and instances in the words of NQRust.' },
        { name: 'repairs', description: 'Programs that failed, were edited and went on.' },
        { name: 'daemon', description: 'The process in the background.' },
      ],
      components: {
        securitySchemes: {
          token: {
            type: 'http',
            scheme: 'bearer',
            description:
              'Of `thaw daemon token create`; its scope is read, run or admin, each with what comes before.',
          },
        },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => withoutUnused(jsonSchemaTransformObject(document)),
  }
}

type Described = ReturnType<typeof jsonSchemaTransformObject>
type Components = { components?: { schemas?: Record<string, unknown> }; paths?: unknown }

/** Each schema is there once as it comes in and once as it goes out; most are used one way only. */
function withoutUnused(document: Described): Described {
  const { components, paths } = document as Components
  const schemas = { ...components?.schemas }
  for (;;) {
    const text = JSON.stringify({ paths, schemas })
    const unused = Object.keys(schemas).filter((name) => !text.includes(`"#/components/schemas/${name}"`))
    if (unused.length === 0) break
    for (const name of unused) delete schemas[name]
  }
  return { ...document, components: { ...components, schemas } } as Described
}
