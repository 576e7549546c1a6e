/** What an ordinary request for a stream is told; here they also stand for the description of the API. */
import { NameParams } from '@thaw/protocol'
import { z } from 'zod'
import { ThawError } from '../system/index.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const HOW =
  'A WebSocket with the protocol `thaw.v1`; a page that cannot send headers offers its token as the protocol `thaw.token.TOKEN` beside it. Binary messages hold frames, [1 byte type][4 bytes length][payload]: 0 control (JSON), 1 stdout, 2 stderr, 3 stdin. The first is a control frame of the client: '

const STREAMS = [
  {
    path: '/v1/instances/:id/exec/stream',
    tag: 'instances',
    operationId: 'streamInInstance',
    summary: 'Run a command in an instance, with its input, output and perhaps a terminal',
    first: 'the body of exec, also with `terminal` ({rows, cols}), `stdin` ("stream") and `joined`.',
  },
  {
    path: '/v1/services/:id/exec/stream',
    tag: 'services',
    operationId: 'streamInService',
    summary: 'Run a command in the environment of a service: a shell',
    first: 'as for instances, without `user`.',
  },
  {
    path: '/v1/services/:id/debug/stream',
    tag: 'services',
    operationId: 'debugService',
    summary: 'Attach pdb to a call at a breakpoint, let an editor in, or go on again from there',
    first:
      '`call` (null: the one that waits longest) and `how`: `pdb`, `dap` or `again`. The end of stdin detaches.',
  },
  {
    path: '/v1/runs/stream',
    tag: 'runs',
    operationId: 'streamRun',
    summary: 'Run a command, with its input and output; it ends with the connection',
    first: 'the body of POST /v1/runs, with `stdin` "stream" or "null".',
  },
  {
    path: '/v1/branches/:id/stream',
    tag: 'branches',
    operationId: 'streamBranch',
    summary: 'Follow what a live branch prints',
    first: '{"from": "start" or "now"}.',
  },
  {
    path: '/v1/checkpoints/:id/stream',
    tag: 'checkpoints',
    operationId: 'streamResume',
    summary: 'Go on from a checkpoint, with input and output',
    first: 'the body of resume, with `stdin` "stream" or "null".',
  },
  {
    path: '/v1/repairs/stream',
    tag: 'repairs',
    operationId: 'streamRepair',
    summary: 'Run a command, and have it repaired when it fails',
    first: 'what `thaw repair` sends.',
  },
] as const

export function streamRoutes(app: Routes, { products, services }: ApiContext): void {
  for (const { path, tag, operationId, summary, first } of STREAMS) {
    const named = path.includes(':id')
    app.get(
      path,
      {
        config: { scope: 'run' },
        schema: {
          tags: [tag],
          operationId,
          summary,
          description: `${HOW}${first}`,
          ...(named ? { params: NameParams } : {}),
          response: { 101: z.null().describe('The stream begins.') },
        },
      },
      (request) => {
        if (tag === 'services') services.find((request.params as { id: string }).id)
        if (tag === 'instances') products.instances.get((request.params as { id: string }).id)
        throw new ThawError('UPGRADE_REQUIRED', `${path} is a stream.`)
      },
    )
  }
}
