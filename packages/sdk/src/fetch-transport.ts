import { ThawError } from '@thaw/protocol/errors'
import type { Transport } from './transport.js'

/** Over HTTP, as in a browser. */
export function fetchTransport(baseUrl: string, token?: string): Transport {
  const send = async (method: string, path: string, body?: unknown): Promise<Response> => {
    const headers: Record<string, string> = {}
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`
    if (body !== undefined) headers['content-type'] = 'application/json'
    try {
      return await fetch(new URL(path, baseUrl), {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new ThawError('DAEMON_UNREACHABLE', `No daemon answers at ${baseUrl}.`, { cause: error })
    }
  }
  return {
    request: async (method, path, body) => {
      const answer = await send(method, path, body)
      return { status: answer.status, body: await answer.json() }
    },
    bytes: async function* (path) {
      const answer = await send('GET', path)
      if (!answer.ok) throw ThawError.fromBody(await answer.json())
      const reader = answer.body?.getReader()
      for (;;) {
        const part = await reader?.read()
        if (part === undefined || part.done) return
        yield part.value
      }
    },
  }
}
