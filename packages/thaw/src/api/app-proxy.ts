/** Requests of apps: carried to the program and back, as they are. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { WEBSOCKET } from '@thaw/protocol/frames'
import { AppRequestHeaders } from '@thaw/protocol'
import { ThawError } from '../system/index.js'
import { callerSignal } from './caller.js'
import type { ApiContext } from './context.js'
import { parse } from './parse.js'

/** What is said between two neighbours only (RFC 9110, 7.6.1), and what is answered here. */
const NEIGHBOURS = new Set(
  'connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade expect'.split(
    ' ',
  ),
)
const PLACE = /^\/v1\/services\/([^/?]+)\/app((?:[/?][^]*)?)$/

interface Place {
  name: string
  /** Where it begins, as the caller sees it. */
  prefix: string
  /** As the app sees it: with its query, not decoded. */
  path: string
}

/** What of an address is whose; null: it is not an app's. */
export function placeOf(url: string): Place | null {
  const [, id, rest = ''] = PLACE.exec(url) ?? []
  if (id === undefined) return null
  try {
    const path = rest.startsWith('/') ? rest : `/${rest}`
    return { name: decodeURIComponent(id), prefix: `/v1/services/${id}/app`, path }
  } catch {
    return null
  }
}

/** @throws ThawError as Services.enter, CALL_TIMEOUT, APP_BROKEN, CANCELLED */
export async function proxyRequest(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const { raw } = request
  const place = placeOf(raw.url ?? '')
  if (place === null) throw new ThawError('NOT_FOUND', `There is no ${raw.url}.`)
  checkPage(context, raw)
  const signal = callerSignal(reply)
  const { port, timeout, leave } = await context.services.enter(place.name, {
    timeout: timeoutOf(raw),
    signal,
  })
  let isAnswered = false
  reply.raw.once('close', () => leave(!isAnswered && !signal.aborted))
  const id = String(reply.getHeader('x-request-id'))
  const headers = headersFor(context, raw, place, { port, id })
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers
  // Of most methods a body is not expected, and would be taken for the next request.
  if (length === undefined && coding !== undefined) headers['transfer-encoding'] = 'chunked'
  const asked = httpRequest({
    host: '127.0.0.1',
    port,
    method: raw.method,
    path: place.path,
    headers,
    agent: false,
  })
  signal.addEventListener('abort', () => asked.destroy(), { once: true })
  pipeline(raw, asked, () => {})
  const answer = await answerOf(asked, timeout, () => {
    if (signal.aborted) return new ThawError('CANCELLED', 'The caller went away.')
    return new ThawError('APP_BROKEN', `${place.name} closed the connection before it had answered.`)
  })
  isAnswered = true
  reply.hijack()
  const fields = [...fieldsOf(answer, place), 'x-request-id', id]
  reply.raw.writeHead(answer.statusCode ?? 502, answer.statusMessage, fields)
  // An answer that is cut off is cut off for the caller as well.
  pipeline(answer, reply.raw, () => {})
}

/**
 * A connection that becomes another protocol, as WebSockets do.
 *
 * @param refuse told why it cannot be
 * @returns whether the address is an app's
 */
export function proxyUpgrade(
  context: ApiContext,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
  refuse: (error: ThawError) => void,
): boolean {
  const place = placeOf(request.url ?? '')
  if (place === null) return false
  checkPage(context, request)
  const gone = new AbortController()
  socket.once('close', () => gone.abort())
  const carry = async () => {
    const { port, timeout, leave } = await context.services.enter(place.name, {
      timeout: timeoutOf(request),
      signal: gone.signal,
    })
    let isAnswered = false
    if (socket.destroyed) return leave(false)
    socket.once('close', () => leave(!isAnswered))
    const id = String(request.headers['x-request-id'] ?? '')
    const headers = headersFor(context, request, place, { port, id })
    Object.assign(headers, { connection: 'Upgrade', upgrade: request.headers.upgrade })
    const asked = httpRequest({ host: '127.0.0.1', port, path: place.path, headers, agent: false })
    gone.signal.addEventListener('abort', () => asked.destroy(), { once: true })
    asked.once('upgrade', (answer: IncomingMessage, other: Socket, first: Buffer) => {
      isAnswered = true
      socket.write(`${headOf(answer, [...answer.rawHeaders])}`)
      socket.write(first)
      if (head.length > 0) other.write(head)
      for (const one of [socket, other]) {
        one.setNoDelay(true)
        one.setTimeout(0)
      }
      pipeline(socket, other, socket, () => {})
    })
    asked.end()
    const answer = await answerOf(
      asked,
      timeout,
      () => new ThawError('APP_BROKEN', `${place.name} closed the connection before it had answered.`),
      () => isAnswered,
    )
    if (answer === null) return
    isAnswered = true
    socket.write(headOf(answer, [...fieldsOf(answer, place), 'connection', 'close']))
    pipeline(answer, socket, () => {})
  }
  carry().catch((error: unknown) => refuse(ThawError.from(error)))
  return true
}

/** Seconds that it may take until an answer begins; undefined: what the app was given. @throws ThawError INVALID_REQUEST */
function timeoutOf({ headers }: IncomingMessage): number | undefined {
  return parse(AppRequestHeaders, { 'thaw-timeout': headers['thaw-timeout'] })['thaw-timeout']
}

/** Without tokens a page of the app would have the daemon's origin, and with it everything that its owner may do. */
function checkPage({ access }: ApiContext, request: IncomingMessage): void {
  if (!access.isRemote(request) || access.isShared(request)) return
  if (request.headers['sec-fetch-site'] === undefined) return
  throw new ThawError('FORBIDDEN', 'Pages of apps are not shown by a daemon that asks for no token.', {
    hint: 'Reach it with a program, or give the app a port of the machine (network: host).',
  })
}

function headersFor(
  { access }: ApiContext,
  request: IncomingMessage,
  { prefix }: Place,
  { port, id }: { port: number; id: string },
): Record<string, string | string[] | undefined> {
  const { headers } = request
  const listed = (headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((one) => one.trim())
  const dropped = new Set([...NEIGHBOURS, ...listed, 'thaw-build', 'thaw-timeout'])
  const kept: Record<string, string | string[] | undefined> = Object.fromEntries(
    Object.entries(headers).filter(([name]) => !dropped.has(name)),
  )
  if (access.isRemote(request)) {
    // The token is the daemon's, not the app's.
    delete kept['authorization']
    const offered = String(kept['sec-websocket-protocol'] ?? '').split(',')
    const own = offered.filter((one) => one.trim() !== '' && !one.trim().startsWith(WEBSOCKET.token))
    if (own.length > 0) kept['sec-websocket-protocol'] = own.join(',')
    else delete kept['sec-websocket-protocol']
  }
  const address = request.socket.remoteAddress
  const before = headers['x-forwarded-for']
  if (address !== undefined) {
    kept['x-forwarded-for'] = before === undefined ? address : `${String(before)}, ${address}`
  }
  if (id !== '') kept['x-request-id'] = id
  return {
    ...kept,
    host: `localhost:${port}`,
    connection: 'close',
    'x-forwarded-host': headers.host,
    'x-forwarded-proto': 'http',
    'x-forwarded-prefix': prefix,
  }
}

/** Names and values in turn, as they were sent; addresses on the app itself are told as the caller knows them. */
function fieldsOf({ rawHeaders, headers }: IncomingMessage, { prefix }: Place): string[] {
  const listed = (headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((one) => one.trim())
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = rawHeaders.slice(i, i + 2)
    const low = name.toLowerCase()
    if (NEIGHBOURS.has(low) || listed.includes(low) || low === 'x-request-id') continue
    const isOwn = low === 'location' && /^\/(?!\/)/.test(value)
    fields.push(name, isOwn ? `${prefix}${value}` : value)
  }
  return fields
}

function headOf({ statusCode, statusMessage }: IncomingMessage, fields: readonly string[]): string {
  let text = `HTTP/1.1 ${statusCode} ${statusMessage ?? ''}\r\n`
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}

function answerOf(
  asked: ClientRequest,
  timeout: number | null,
  broken: () => ThawError,
): Promise<IncomingMessage>
/** @param isOver whether another protocol has begun, which is no answer */
function answerOf(
  asked: ClientRequest,
  timeout: number | null,
  broken: () => ThawError,
  isOver: () => boolean,
): Promise<IncomingMessage | null>
function answerOf(
  asked: ClientRequest,
  timeout: number | null,
  broken: () => ThawError,
  isOver = () => false,
): Promise<IncomingMessage | null> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer =
      timeout === null
        ? undefined
        : setTimeout(() => {
            isLate = true
            asked.destroy()
          }, timeout * 1000)
    asked.once('response', (answer) => {
      clearTimeout(timer)
      resolve(answer)
    })
    asked.on('error', () => {})
    asked.once('upgrade', () => clearTimeout(timer))
    asked.once('close', () => {
      clearTimeout(timer)
      if (isLate) reject(new ThawError('CALL_TIMEOUT', `It did not answer within ${timeout} s.`))
      else if (isOver()) resolve(null)
      else reject(broken())
    })
  })
}
