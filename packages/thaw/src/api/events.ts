/** Server-sent events: an operation's output and end, from its beginning or from where a reader left off. */
import type { OperationEvent } from '@thaw/protocol'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { RunsPort, Sink } from './ports.js'
import type { Task } from './operations.js'

/** So long a reader may take nothing before he is given up; else he would hold the program back. Milliseconds. */
const PATIENCE = 30_000
/** Between two lines that only keep proxies from closing the connection. Milliseconds. */
const HEARTBEAT = 15_000

type StreamName = 'stdout' | 'stderr'

/** Bytes of each branch's streams that a reader has: the id of an event, `1200.0,37.5` for two branches. */
function readPosition(text: string | undefined): number[][] {
  if (text === undefined || !/^\d{1,15}\.\d{1,15}(,\d{1,15}\.\d{1,15})*$/.test(text)) return []
  return text.split(',').map((pair) => pair.split('.').map(Number))
}

/**
 * Serves the events of an operation until it has ended or the reader has gone.
 *
 * @param last the Last-Event-ID of the reader, who has what comes before
 * @param headers of the answer, beside its own
 */
export async function serveEvents(
  task: Task,
  runs: RunsPort,
  response: ServerResponse,
  last: string | undefined,
  headers: OutgoingHttpHeaders,
): Promise<void> {
  const { operation } = task
  response.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  const seen = readPosition(last)
  const at = operation.branches.map((_, i) => [0, 0, ...(seen[i] ?? [])].slice(-2))
  const position = () => at.map((pair) => pair.join('.')).join(',')
  const heartbeat = setInterval(() => response.write(': still here\n\n'), HEARTBEAT)
  let gone = false
  const left = new Promise<void>((resolve) => {
    response.on('close', () => {
      gone = true
      resolve()
    })
  })
  response.on('error', () => {})
  const send = async (event: OperationEvent): Promise<void> => {
    if (gone) throw Object.assign(new Error('the reader has gone'), { code: 'EPIPE' })
    const id = position() === '' ? '' : `id: ${position()}\n`
    if (response.write(`event: ${event.t}\n${id}data: ${JSON.stringify(event)}\n\n`)) return
    const timer = setTimeout(() => response.destroy(), PATIENCE)
    await Promise.race([left, new Promise((resolve) => response.once('drain', resolve))])
    clearTimeout(timer)
  }
  try {
    if (seen.length === 0) {
      for (const branch of operation.branches) await send({ t: 'started', run: operation.run ?? '', branch })
    }
    const outputs = operation.branches.map((branch, i) => {
      const pair = at[i] as number[]
      const had = [...pair]
      return followBranch(branch, runs, had, async (stream, text, bytes) => {
        pair[stream === 'stdout' ? 0 : 1] = bytes
        await send({ t: stream, branch, text })
      })
    })
    await Promise.race([left, Promise.allSettled(outputs)])
    await Promise.race([left, task.ended])
    if (!gone) await send({ t: 'end', operation })
  } catch (error) {
    if (!gone) throw error
  } finally {
    clearInterval(heartbeat)
    response.end()
  }
}

/** @param had bytes of stdout and stderr to leave out @param tell is given text, and the bytes up to its end */
async function followBranch(
  branch: string,
  runs: RunsPort,
  had: number[],
  tell: (stream: StreamName, text: string, bytes: number) => Promise<void>,
): Promise<void> {
  const part = (stream: StreamName) => {
    let skip = had[stream === 'stdout' ? 0 : 1] ?? 0
    let bytes = 0
    let carried: Uint8Array = new Uint8Array(0)
    return async (chunk: Uint8Array) => {
      bytes += chunk.length
      const rest = chunk.subarray(Math.min(skip, chunk.length))
      skip -= chunk.length - rest.length
      const whole = Buffer.concat([carried, rest])
      const end = whole.length - unfinished(whole)
      carried = whole.subarray(end)
      if (end > 0) await tell(stream, whole.toString('utf8', 0, end), bytes - carried.length)
    }
  }
  const sink: Sink = { started: () => {}, stdout: part('stdout'), stderr: part('stderr') }
  const handle = await runs.attach(branch, 'start', sink)
  await handle.done
}

/** Bytes at the end that begin a character of UTF-8 and do not end it. */
function unfinished(bytes: Uint8Array): number {
  for (let i = 1; i <= Math.min(3, bytes.length); i++) {
    const byte = bytes[bytes.length - i] as number
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > i ? i : 0
  }
  return 0
}
