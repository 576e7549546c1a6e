import { IdParams, RepairList, RepairReport, RepairUndone } from '@thaw/protocol'
import { z } from 'zod'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'

const tags = ['repairs']

/** For `last`: the directory whose repair is meant. */
const UndoRequest = z.strictObject({ cwd: z.string().startsWith('/').nullable().default(null) })

export function repairRoutes(app: Routes, { repairs }: ApiContext): void {
  app.get(
    '/v1/repairs',
    {
      schema: {
        operationId: 'listRepairs',
        tags,
        summary: 'All repairs, the latest first',
        response: { 200: RepairList },
      },
    },
    () => ({ repairs: repairs.list() }),
  )

  app.get(
    '/v1/repairs/:id',
    {
      schema: {
        operationId: 'getRepair',
        tags,
        summary: 'What came of a repair',
        params: IdParams,
        response: { 200: RepairReport },
      },
    },
    (request) => repairs.report(request.params.id),
  )

  app.post(
    '/v1/repairs/:id/undo',
    {
      schema: {
        operationId: 'undoRepair',
        tags,
        summary: 'Give the files what they held before a repair; refused where somebody changed them since',
        params: IdParams,
        body: UndoRequest,
        response: { 200: RepairUndone },
      },
    },
    async (request) => await repairs.undo(request.params.id, request.body.cwd),
  )
}
