import { ThawError } from '@thaw/protocol/errors'
import type { Method, RequestOptions, Transport } from './transport.js'
import { connectWebSocket, type WebSocketClass } from './websocket.js'

/**
 * Over HTTP, as in a browser.
 *
 * @param baseUrl as `http://127.0.0.1:18080`
 * @param token of `thaw daemon token create`; none for a daemon that was started with --no-token
 * @param options.WebSocket for terminals; default: the global one, which Node has from 22 on (`ws` serves before)
 */
export function fetchTransport(
  baseUrl: string,
  token?: string,
  options: { WebSocket?: WebSocketClass } = {},
): Transport {
  const send = async (method: Method, path: string, options: RequestOptions = {}): Promise<Response> => {
    const { body, signal } = options
    const headers: Record<string, string> = { ...options.headers }
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`
    if (body !== undefined) headers['content-type'] = 'application/json'
    const content = options.content === undefined ? undefined : await bodyOf(options.content)
    if (content !== undefined) headers['content-type'] = 'application/octet-stream'
    try {
      return await fetch(new URL(path, baseUrl), {
        method,
        headers,
        ...(signal === undefined ? {} : { signal }),
        ...(content === undefined ? {} : { body: content, duplex: 'half' }),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw signal?.aborted === true
        ? cancelled(error)
        : new ThawError('DAEMON_UNREACHABLE', `No daemon answers at ${baseUrl}.`, { cause: error })
    }
  }
  return {
    request: async (method, path, options) => {
      const answer = await send(method, path, options)
      return { status: answer.status, body: parse(await answer.text()) }
    },
    bytes: async function* (path, options) {
      const answer = await send(options?.method ?? 'GET', path, options)
      if (!answer.ok) throw ThawError.fromBody(parse(await answer.text()))
      const reader = answer.body?.getReader()
      try {
        for (;;) {
          const part = await reader?.read()
          if (part === undefined || part.done) return
          yield part.value
        }
      } catch (error) {
        throw options?.signal?.aborted === true ? cancelled(error) : lost(error)
      } finally {
        await reader?.cancel().catch(() => {})
      }
    },
    connect: async (path) => {
      const Socket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket
      if (Socket === undefined) {
        throw new ThawError('UNSUPPORTED', 'There is no WebSocket here.', {
          hint: 'Use Node 22, or give fetchTransport the one of the package `ws`.',
        })
      }
      const url = new URL(path, baseUrl)
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
      try {
        return await connectWebSocket(Socket, url.href, token)
      } catch (error) {
        // The same path without an upgrade says what a WebSocket does not tell.
        const answer = await send('GET', path)
        const known = ThawError.fromBody(parse(await answer.text()))
        throw known.code === 'UPGRADE_REQUIRED' ? error : known
      }
    },
  }
}

export function cancelled(cause: unknown): ThawError {
  return new ThawError('CANCELLED', 'The call was given up by its caller.', { cause })
}

export function lost(cause: unknown): ThawError {
  return new ThawError('DAEMON_LOST', 'The daemon went away before its answer had ended.', { cause })
}

/** An answer's body; the text itself when it is not JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Sent as it comes where that can be done: browsers refuse it over HTTP/1.1, but send a Blob piece by piece. */
async function bodyOf(content: NonNullable<RequestOptions['content']>): Promise<Blob | ReadableStream> {
  if (content instanceof Blob) return content
  if ('process' in globalThis) {
    const parts = content[Symbol.asyncIterator]()
    return new ReadableStream<Uint8Array>({
      pull: async (to) => {
        const { done, value } = await parts.next()
        if (done === true) to.close()
        else to.enqueue(value)
      },
      cancel: async () => void (await parts.return?.()),
    })
  }
  const collected: Uint8Array<ArrayBuffer>[] = []
  for await (const part of content) collected.push(new Uint8Array(part))
  return new Blob(collected)
}
