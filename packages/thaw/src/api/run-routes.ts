import {
  BranchNode,
  CheckpointNode,
  CheckpointRequest,
  Collected,
  ErrorAnswer,
  Exported,
  ExportRequest,
  IdList,
  IdParams,
  IdsQuery,
  ImportedCheckpoint,
  ImportRequest,
  LogsQuery,
  Removed,
  RemoveQuery,
  RunInputs,
  RunList,
  RunReport,
  RunSummary,
  RunTree,
  Stopped,
  VerifyReport,
  VerifyRequest,
} from '@thaw/protocol'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { z } from 'zod'
import { openScope, ThawError } from '../system/index.js'
import type { ApiContext } from './context.js'
import { listIds, resolveId, type IdKind } from './ids.js'

export type Routes = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

const tags = ['runs']
const errors = { '4xx': ErrorAnswer, '5xx': ErrorAnswer }

/** What GET /v1/runs/ID also tells: the last report. */
const RunDetail = RunSummary.extend({ report: RunReport.nullable() })

export function runRoutes(app: Routes, context: ApiContext): void {
  const { runs, journal } = context
  const whole = (id: string, ...kinds: IdKind[]) => resolveId(journal, id, kinds)
  const summary = (id: string): RunSummary => {
    const found = runs.get(id)
    if (found === undefined) throw new ThawError('RUN_NOT_FOUND', `The run ${id} is gone.`)
    return found
  }

  app.get(
    '/v1/runs',
    { schema: { tags, summary: 'All runs, the latest first', response: { 200: RunList, ...errors } } },
    () => ({ runs: runs.list() }),
  )

  app.get(
    '/v1/runs/:id',
    { schema: { tags, summary: 'One run', params: IdParams, response: { 200: RunDetail, ...errors } } },
    (request) => {
      const id = whole(request.params.id, 'run')
      return { ...summary(id), report: journal.lastOutcome(id) ?? null }
    },
  )

  app.get(
    '/v1/runs/:id/tree',
    {
      schema: {
        tags,
        summary: 'The branches and checkpoints of a run',
        params: IdParams,
        response: { 200: RunTree, ...errors },
      },
    },
    (request) => runs.tree(whole(request.params.id, 'run')),
  )

  app.get(
    '/v1/runs/:id/inputs',
    {
      schema: {
        tags,
        summary: 'The files that a run read and wrote',
        params: IdParams,
        response: { 200: RunInputs, ...errors },
      },
    },
    (request) => runs.inputs(whole(request.params.id, 'run')),
  )

  app.get(
    '/v1/runs/:id/logs',
    {
      schema: {
        tags,
        summary: 'The recorded output of the last branch of a run, or of one branch, as bytes',
        params: IdParams,
        querystring: LogsQuery,
      },
    },
    (request, reply) => {
      const branch = branchOf(context, whole(request.params.id, 'run', 'branch'))
      const { stream } = request.query
      const parts =
        stream === 'both'
          ? [runs.logs(branch, 'stdout'), runs.logs(branch, 'stderr')]
          : [runs.logs(branch, stream)]
      return reply.type('application/octet-stream').send(Readable.from(concat(parts), { objectMode: false }))
    },
  )

  app.post(
    '/v1/launches/:id/plain',
    {
      schema: {
        tags,
        summary: 'Told by the agent: a program below a launcher runs as it is',
        params: IdParams,
        body: z.strictObject({ command: z.array(z.string()), reason: z.string() }),
        response: { 200: z.object({}), ...errors },
      },
    },
    (request) => {
      runs.passedBelow(request.params.id, request.body.command, request.body.reason)
      return {}
    },
  )

  app.get(
    '/v1/ids',
    {
      schema: {
        tags,
        summary: 'Ids that begin so, each with what it stands for; the newest runs first',
        querystring: IdsQuery,
        response: { 200: IdList, ...errors },
      },
    },
    (request) => ({ ids: listIds(journal, request.query.prefix, request.query.kinds.split(',')) }),
  )

  app.get(
    '/v1/branches/:id',
    { schema: { tags, summary: 'One branch', params: IdParams, response: { 200: BranchNode, ...errors } } },
    (request) => {
      const id = whole(request.params.id, 'branch')
      const run = journal.getBranch(id)?.run
      const branch = run === undefined ? undefined : runs.tree(run).branches.find((one) => one.id === id)
      if (branch === undefined) throw new ThawError('RUN_NOT_FOUND', `The branch ${id} is gone.`)
      return branch
    },
  )

  app.get(
    '/v1/checkpoints/:id',
    {
      schema: {
        tags,
        summary: 'One checkpoint',
        params: IdParams,
        response: { 200: CheckpointNode, ...errors },
      },
    },
    (request) => {
      const id = whole(request.params.id, 'checkpoint')
      const run = journal.getCheckpoint(id)?.run
      const found = run === undefined ? undefined : runs.tree(run).checkpoints.find((one) => one.id === id)
      if (found === undefined) throw new ThawError('RUN_NOT_FOUND', `The checkpoint ${id} is gone.`)
      return found
    },
  )

  app.post(
    '/v1/runs/:id/checkpoints',
    {
      schema: {
        tags,
        summary: 'Take a checkpoint of what is live of a run or a branch, at its next safe moment',
        params: IdParams,
        body: CheckpointRequest,
        response: { 200: CheckpointNode, ...errors },
      },
    },
    (request) => runs.checkpoint(whole(request.params.id, 'run', 'branch'), request.body.name),
  )

  app.post(
    '/v1/checkpoints/:id/export',
    {
      schema: {
        tags,
        summary: 'Write a checkpoint on disk into a file, for another machine of the same kind',
        description:
          'The file holds the memory and the environment of the program. It is readable by its owner only.',
        params: IdParams,
        body: ExportRequest,
        response: { 200: Exported, ...errors },
      },
    },
    (request) => runs.export(whole(request.params.id, 'checkpoint'), request.body.file),
  )

  app.post(
    '/v1/checkpoints/import',
    {
      schema: {
        tags,
        summary: 'Make a checkpoint of a file that an export has written',
        body: ImportRequest,
        response: { 200: ImportedCheckpoint, ...errors },
      },
    },
    (request) => runs.import(request.body.file),
  )

  app.post(
    '/v1/runs/:id/verify',
    {
      schema: {
        tags,
        summary: 'Compare what was recorded of a run or a branch with a cold run in a private copy',
        description: 'Takes as long as one cold run, or two. It is given up when the caller goes away.',
        params: IdParams,
        body: VerifyRequest,
        response: { 200: VerifyReport, ...errors },
      },
    },
    (request, reply) => {
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      const id = whole(request.params.id, 'run', 'branch')
      return runs.verify(id, request.body.redo_effects, openScope(context.log, gone.signal))
    },
  )

  app.post(
    '/v1/runs/:id/stop',
    {
      schema: {
        tags,
        summary: 'End what is live of a run or a branch; nothing live is no error',
        params: IdParams,
        response: { 200: Stopped, ...errors },
      },
    },
    async (request) => ({ stopped: await runs.stop(whole(request.params.id, 'run', 'branch')) }),
  )

  app.delete(
    '/v1/runs/:id',
    {
      schema: {
        tags,
        summary: 'Forget a run or a checkpoint, with its processes and records',
        params: IdParams,
        querystring: RemoveQuery,
        response: { 200: Removed, ...errors },
      },
    },
    async (request) => ({
      removed: await runs.remove(whole(request.params.id, 'run', 'checkpoint'), request.query),
    }),
  )

  app.post(
    '/v1/gc',
    {
      schema: {
        tags,
        summary: 'End checkpoints that save least, remove records that nothing needs',
        body: z.strictObject({}).nullish(),
        response: { 200: Collected, ...errors },
      },
    },
    () => runs.collect(),
  )
}

/** The branch itself, or the latest of a run. */
export function branchOf(context: ApiContext, id: string): string {
  if (id.startsWith('b_')) return id
  const branches = context.journal.listBranches(id)
  const last = branches.at(-1)
  if (last === undefined) throw new ThawError('RUN_NOT_FOUND', `The run ${id} has no branch yet.`)
  return last.id
}

async function* concat(parts: readonly AsyncIterable<Uint8Array>[]): AsyncIterable<Uint8Array> {
  for (const part of parts) yield* part
}
