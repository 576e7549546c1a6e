import type { BranchNode, CheckpointNode, Place, RunTree } from '@thaw/protocol'
import { foldPast, isBranch, isFold, type Fold, type Node } from './fold.js'
import { bytes, command, exit, seconds, shorten } from './units.js'

interface Line {
  drawing: string
  id: string
  what: string
  at: string
  memory: string
  state: string
}

/**
 * Checkpoints in the order of the program's work. What follows one checkpoint alone stands below it; where several
 * go out from one, each is indented. Those that are gone and from which nothing goes out are counted only.
 *
 * @param all show each of them
 */
export function renderTree(tree: RunTree, all = false): string {
  const { run } = tree
  const known = new Set(tree.checkpoints.map((one) => one.id))
  const children = new Map<string | null, Node[]>()
  const put = (parent: string | null, node: Node) => {
    const key = parent !== null && known.has(parent) ? parent : null
    children.set(key, [...(children.get(key) ?? []), node])
  }
  for (const one of tree.checkpoints) put(one.parent, one)
  for (const one of tree.branches) {
    if (one.state === 'live') put(lastOf(tree, one), one)
    // What a run came to stands above; what a resume came to stands where it began, or where it stopped again.
    else if (one.kind !== 'run' && !tree.checkpoints.some(({ branch }) => branch === one.id))
      put(one.from, one)
  }

  if (!all) foldPast(children)

  const lines: Line[] = []
  const walk = (parent: string | null, indent: string): void => {
    const below = children.get(parent) ?? []
    const fork = below.length > 1
    const inward = (node: Node) => fork || (children.get(node.id) ?? []).length > 1
    below.forEach((node, at) => {
      const last = at === below.length - 1
      lines.push(
        isFold(node)
          ? foldLine(node, indent, last && (inward(node) || !followed(node)))
          : isBranch(node)
            ? branchLine(node, indent, last)
            : checkpointLine(node, indent, last && (inward(node) || !followed(node))),
      )
      walk(node.id, inward(node) ? `${indent}${last ? '   ' : '│  '}` : indent)
    })
  }
  const followed = (node: Node) => (children.get(node.id) ?? []).length > 0
  walk(null, '')

  const title = `${run.id}  ${command(run.command, 70)}\n${run.cwd}\n${state(tree)}\n`
  const refusals = tree.refusals
    .map((one) => `no checkpoint from ${seconds(one.at_seconds)}: ${one.why}\n`)
    .join('')
  if (lines.length === 0) return `${title}no checkpoints\n${refusals}`
  return `${title}${columns(lines)}${refusals}`
}

function state({ run, branches }: RunTree): string {
  const live = branches.filter((branch) => branch.state === 'live').length
  if (live > 0) return live === 1 ? 'running now' : `running now, ${live} times`
  const outcome = run.outcome === null ? '' : `, ${run.outcome}`
  return `${run.state === 'lost' ? 'lost with its daemon' : `ended, ${exit(run.exit) || 'no exit known'}`}${outcome}`
}

/** The checkpoint a live branch has reached. */
function lastOf(tree: RunTree, branch: BranchNode): string | null {
  return tree.checkpoints.filter((one) => one.branch === branch.id).at(-1)?.id ?? branch.from
}

function foldLine(node: Fold, indent: string, last: boolean): Line {
  const drawing = `${indent}${last ? '└─ ' : '├─ '}`
  return { drawing, id: `… ${node.count} more`, what: '', at: '', memory: '', state: node.state }
}

function checkpointLine(node: CheckpointNode, indent: string, last: boolean): Line {
  return {
    drawing: `${indent}${last ? '└─ ' : '├─ '}`,
    id: node.id,
    what: checkpointTitle(node),
    at: seconds(node.at_seconds),
    memory: bytes(node.memory_bytes),
    state: node.state,
  }
}

function branchLine(node: BranchNode, indent: string, last: boolean): Line {
  return {
    drawing: `${indent}${last ? '└─ ' : '├─ '}`,
    id: node.id,
    what: node.state === 'live' ? `running${node.pid === null ? '' : `, pid ${node.pid}`}` : resumed(node),
    at: '',
    memory: '',
    state: node.state === 'live' ? 'live' : '',
  }
}

function resumed({ kind, state, exit: end }: BranchNode): string {
  return `resumed ${kind}${state === 'lost' ? ', lost with its daemon' : `, ${exit(end) || 'stopped'}`}`
}

/** One checkpoint in a line. */
export function checkpointInLine(node: CheckpointNode): string {
  const { id, what, at } = checkpointLine(node, '', true)
  return `${id}  ${what}, after ${at} of work\n`
}

/** Where a checkpoint stands, and what somebody called it. Where the code is not known, its time says where it stood. */
export function checkpointTitle({ kind, before, name }: CheckpointNode): string {
  const called = name === null ? '' : ` "${name}"`
  if (before.unit !== null) return `${TITLES[kind]}${place(before)}${called}`
  return `${kind === 'stop' ? 'stopped' : 'as it stood'}${called}`
}

const TITLES = { moment: 'before ', stop: 'stopped before ', mark: 'in ', asked: 'in ' } as const

export function place(before: Place): string {
  const where = before.file === null ? '' : `${before.file}${before.line === null ? '' : `:${before.line}`}`
  if (before.unit?.startsWith('<') !== false) return where
  return `${before.unit.replace(/#\d+$/, '')}()${where === '' ? '' : ` (${where})`}`
}

function columns(lines: readonly Line[]): string {
  const left = lines.map((line) => shorten(`${line.drawing}${line.id}  ${line.what}`, 78))
  const widths = {
    left: Math.max(...left.map((text) => text.length)),
    at: Math.max(...lines.map((line) => line.at.length)),
    memory: Math.max(...lines.map((line) => line.memory.length)),
  }
  return lines
    .map((line, n) =>
      `${(left[n] as string).padEnd(widths.left)}  ${line.at.padStart(widths.at)}  ${line.memory.padStart(widths.memory)}  ${line.state}\n`.replace(
        / +\n/,
        '\n',
      ),
    )
    .join('')
}
