import type { FastifyRequest } from 'fastify'

/** The caller's own, where it is one that can be written down; else one that is made up. */
export function requestId(request: FastifyRequest): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : request.id
}
