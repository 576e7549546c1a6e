import {
  BranchList,
  BranchNode,
  BranchQuery,
  CompareQuery,
  Comparison,
  IdParams,
  LogsQuery,
} from '@thaw/protocol'
import { ThawError } from '../system/index.js'
import { compareBranches } from './comparison.js'
import type { ApiContext } from './context.js'
import { branchOf, resolveId } from './ids.js'
import { LogBytes, sendLogs } from './logs.js'
import { pageOf, timeKey } from './paging.js'
import type { Routes } from './server.js'

const tags = ['branches']

export function branchRoutes(app: Routes, context: ApiContext): void {
  const { runs, journal } = context

  /** A branch, or the last one of a run. */
  const find = (given: string): BranchNode => {
    const id = branchOf(journal, resolveId(journal, given, ['branch', 'run']))
    const run = journal.getBranch(id)?.run
    const branch = run === undefined ? undefined : runs.tree(run).branches.find((one) => one.id === id)
    if (branch === undefined) throw new ThawError('RUN_NOT_FOUND', `The branch ${id} is gone.`)
    return branch
  }

  app.get(
    '/v1/branches',
    {
      schema: {
        tags,
        operationId: 'listBranches',
        summary: 'The branches of a run, the latest first',
        querystring: BranchQuery,
        response: { 200: BranchList },
      },
    },
    (request) => {
      const { branches } = runs.tree(resolveId(journal, request.query.run, ['run']))
      const { items, next } = pageOf(branches, request.query, ({ started_at, id }) =>
        timeKey(Date.parse(started_at), id),
      )
      return { branches: items, next }
    },
  )

  app.get(
    '/v1/branches/:id',
    {
      schema: {
        tags,
        operationId: 'getBranch',
        summary: 'One branch',
        params: IdParams,
        response: { 200: BranchNode },
      },
    },
    (request) => find(request.params.id),
  )

  app.get(
    '/v1/branches/:id/logs',
    {
      schema: {
        tags,
        operationId: 'readBranchLogs',
        summary: 'All that a branch has printed, what came before its checkpoint included, as bytes',
        params: IdParams,
        querystring: LogsQuery,
        response: { 200: LogBytes },
      },
    },
    (request, reply) => {
      sendLogs(runs, find(request.params.id).id, request.query, reply)
    },
  )

  app.get(
    '/v1/compare',
    {
      schema: {
        tags,
        operationId: 'compareBranches',
        summary: 'How the output and the exit of two branches differ',
        querystring: CompareQuery,
        response: { 200: Comparison },
      },
    },
    (request) => {
      const [a, b] = [request.query.a, request.query.b].map((given) => {
        const { id, exit } = find(given)
        return { branch: id, exit }
      })
      if (a === undefined || b === undefined) throw new TypeError('There are two sides.')
      return compareBranches(runs, a, b)
    },
  )
}
