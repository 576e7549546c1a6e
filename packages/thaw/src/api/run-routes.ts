import {
  CheckpointNode,
  CheckpointRequest,
  Collected,
  Exported,
  ExportRequest,
  IdList,
  IdParams,
  IdsQuery,
  ImportedCheckpoint,
  ImportRequest,
  LogsQuery,
  Operation,
  PageQuery,
  Removed,
  RemoveQuery,
  RunDetail,
  RunInputs,
  RunList,
  RunRequest,
  RunTree,
  StartRun,
  Stopped,
  VerifyReport,
  VerifyRequest,
  type RunSummary,
} from '@thaw/protocol'
import { z } from 'zod'
import { openScope, ThawError } from '../system/index.js'
import type { ApiContext } from './context.js'
import { branchOf, listIds, listNames, resolveId, type IdKind } from './ids.js'
import { startCommand } from './launching.js'
import { LogBytes, sendLogs } from './logs.js'
import { answerOperation, WaitHeaders } from './operation-routes.js'
import { pageOf, timeKey } from './paging.js'
import type { Sink } from './ports.js'
import type { Routes } from './server.js'

const tags = ['runs']

export function runRoutes(app: Routes, context: ApiContext): void {
  const { runs, products, journal } = context
  const whole = (id: string, ...kinds: IdKind[]) => resolveId(journal, id, kinds)
  const summary = (id: string): RunSummary => {
    const found = runs.get(id)
    if (found === undefined) throw new ThawError('RUN_NOT_FOUND', `The run ${id} is gone.`)
    return found
  }

  app.get(
    '/v1/runs',
    {
      schema: {
        tags,
        operationId: 'listRuns',
        summary: 'Runs, the latest first',
        querystring: PageQuery,
        response: { 200: RunList },
      },
    },
    (request) => {
      const { items, next } = pageOf(journal.listRuns(), request.query, (row) => timeKey(row.lastAt, row.id))
      return { runs: items.flatMap(({ id }) => runs.get(id) ?? []), next }
    },
  )

  app.post(
    '/v1/runs',
    {
      schema: {
        tags,
        operationId: 'startRun',
        summary: 'Run a command, skipping what an earlier run already did',
        description:
          'Answers once the program runs, or at its end within `Prefer: wait=SECONDS`; its output and end are the events of the operation.',
        headers: WaitHeaders,
        body: StartRun,
        response: { 200: Operation, 202: Operation },
      },
    },
    async (request, reply) => {
      const { stdin, env, ...rest } = request.body
      const whole = RunRequest.parse({
        ...rest,
        env: env ?? { ...process.env },
        stdin: stdin === null ? 'null' : 'stream',
      })
      const task = await context.operations.begin(
        'run',
        1,
        async ([sink], signal) => ({
          handle: await startCommand(whole, () => sink as Sink, context, { signal, log: context.log }),
          command: whole.command,
        }),
        stdin,
      )
      return answerOperation(task, request.headers, reply)
    },
  )

  app.get(
    '/v1/runs/:id',
    {
      schema: {
        operationId: 'getRun',
        tags,
        summary: 'One run',
        params: IdParams,
        response: { 200: RunDetail },
      },
    },
    (request) => {
      const id = whole(request.params.id, 'run')
      return { ...summary(id), report: journal.lastOutcome(id) ?? null }
    },
  )

  app.get(
    '/v1/runs/:id/tree',
    {
      schema: {
        operationId: 'getRunTree',
        tags,
        summary: 'The branches and checkpoints of a run',
        params: IdParams,
        response: { 200: RunTree },
      },
    },
    (request) => runs.tree(whole(request.params.id, 'run')),
  )

  app.get(
    '/v1/runs/:id/inputs',
    {
      schema: {
        operationId: 'getRunInputs',
        tags,
        summary: 'The files that a run read and wrote',
        params: IdParams,
        response: { 200: RunInputs },
      },
    },
    (request) => runs.inputs(whole(request.params.id, 'run')),
  )

  app.get(
    '/v1/runs/:id/logs',
    {
      schema: {
        tags,
        operationId: 'readRunLogs',
        summary: 'The recorded output of the last branch of a run, or of one branch, as bytes',
        params: IdParams,
        querystring: LogsQuery,
        response: { 200: LogBytes },
      },
    },
    (request, reply) => {
      sendLogs(runs, branchOf(journal, whole(request.params.id, 'run', 'branch')), request.query, reply)
    },
  )

  app.post(
    '/v1/launches/:id/plain',
    {
      schema: {
        operationId: 'noteLaunch',
        tags,
        summary: 'Told by the agent: a program below a launcher runs as it is',
        params: IdParams,
        body: z.strictObject({ command: z.array(z.string()), reason: z.string() }),
        response: { 200: z.object({}) },
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
        operationId: 'listIds',
        tags,
        summary: 'Ids and names that begin so, each with what it stands for; the newest first',
        querystring: IdsQuery,
        response: { 200: IdList },
      },
    },
    ({ query: { prefix, kinds } }) => {
      const wanted = kinds.split(',')
      return {
        ids: [...listIds(journal, prefix, wanted), ...listNames(context, prefix, wanted)],
      }
    },
  )

  app.post(
    '/v1/runs/:id/checkpoints',
    {
      schema: {
        operationId: 'takeCheckpoint',
        tags,
        summary: 'Take a checkpoint of what is live of a run or a branch, at its next safe moment',
        params: IdParams,
        body: CheckpointRequest,
        response: { 200: CheckpointNode },
      },
    },
    (request) => runs.checkpoint(whole(request.params.id, 'run', 'branch'), request.body.name),
  )

  app.post(
    '/v1/checkpoints/:id/export',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'exportCheckpoint',
        tags,
        summary: 'Write a checkpoint on disk into a file, for another machine of the same kind',
        description:
          'The file holds the memory and the environment of the program. It is readable by its owner only.',
        params: IdParams,
        body: ExportRequest,
        response: { 200: Exported },
      },
    },
    (request) => runs.export(whole(request.params.id, 'checkpoint'), request.body.file),
  )

  app.post(
    '/v1/checkpoints/import',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'importCheckpoint',
        tags,
        summary: 'Make a checkpoint of a file that an export has written',
        body: ImportRequest,
        response: { 200: ImportedCheckpoint },
      },
    },
    (request) => runs.import(request.body.file),
  )

  app.post(
    '/v1/runs/:id/verify',
    {
      schema: {
        operationId: 'verifyRun',
        tags,
        summary: 'Compare what was recorded of a run or a branch with a cold run in a private copy',
        description: 'Takes as long as one cold run, or two. It is given up when the caller goes away.',
        params: IdParams,
        body: VerifyRequest,
        response: { 200: VerifyReport },
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
        operationId: 'stopRun',
        tags,
        summary: 'End what is live of a run or a branch; nothing live is no error',
        params: IdParams,
        response: { 200: Stopped },
      },
    },
    async (request) => ({ stopped: await runs.stop(whole(request.params.id, 'run', 'branch')) }),
  )

  app.delete(
    '/v1/runs/:id',
    {
      schema: {
        operationId: 'removeRun',
        tags,
        summary: 'Forget a run or a checkpoint, with its processes and records',
        params: IdParams,
        querystring: RemoveQuery,
        response: { 200: Removed },
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
        operationId: 'collectGarbage',
        tags,
        summary: 'End checkpoints that save least, remove records that nothing needs',
        body: z.strictObject({}).nullish(),
        response: { 200: Collected },
      },
    },
    async () => {
      const collected = await runs.collect()
      const { bytes } = await products.collect()
      return { ...collected, bytes: collected.bytes + bytes }
    },
  )
}
