/** Checkpoints in a tree that are gone, and from which nothing goes out: counted, not shown one by one. */
import type { BranchNode, CheckpointNode } from '@thaw/protocol'

export interface Fold {
  id: string
  count: number
  state: string
}

export type Node = CheckpointNode | BranchNode | Fold

/** What goes out from each node, by its id. */
type Children = Map<string | null, Node[]>

export function isBranch(node: Node): node is BranchNode {
  return 'started_at' in node
}

export function isFold(node: Node): node is Fold {
  return 'count' in node
}

function isPast(node: Node): node is CheckpointNode {
  return (
    'kind' in node &&
    node.kind === 'moment' &&
    'name' in node &&
    node.name === null &&
    node.state !== 'parked'
  )
}

/** Puts one fold in the place of several past checkpoints that follow each other, or stand beside each other. */
export function foldPast(children: Children): void {
  let folds = 0
  const below = (node: Node) => children.get(node.id) ?? []
  const folded = (nodes: readonly CheckpointNode[]): Fold => {
    const states = [...new Set(nodes.map(({ state }) => state))]
    return { id: `fold ${folds++}`, count: nodes.length, state: states.join(' or ') }
  }
  /** Everything from a node on; null when something there is to be shown. */
  const allPast = (node: Node): CheckpointNode[] | null => {
    if (!isPast(node)) return null
    const rest = below(node).map(allPast)
    return rest.includes(null) ? null : [node, ...(rest as CheckpointNode[][]).flat()]
  }
  const fold = (parent: string | null): void => {
    const shown: Node[] = []
    let past: CheckpointNode[] = []
    const endPast = () => {
      if (past.length > 0) shown.push(past.length === 1 ? (past[0] as Node) : folded(past))
      past = []
    }
    for (const node of children.get(parent) ?? []) {
      const gone = allPast(node)
      if (gone !== null) {
        past.push(...gone)
        continue
      }
      endPast()
      const chain: CheckpointNode[] = []
      let at = node
      for (let next = below(at); isPast(at) && next.length === 1; next = below(at)) {
        const only = next[0] as Node
        if (isBranch(only)) break
        chain.push(at)
        at = only
      }
      if (chain.length > 1) {
        const one = folded(chain)
        children.set(one.id, [at])
        shown.push(one)
      } else shown.push(node)
      fold(at.id)
    }
    endPast()
    children.set(parent, shown)
  }
  fold(null)
}
