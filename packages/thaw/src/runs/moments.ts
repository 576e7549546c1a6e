/** When a program is to stop, as seen from outside: by what it prints, or where it listens. */
import { matcher, type Scope } from '../system/index.js'
import type { Execution, Take } from './execution.js'

export interface Moments {
  break_output: string | null
  break_listen: number | null
}

/** What can be told of a program that runs. */
interface Watched {
  exited: Promise<unknown>
  listens: (port: number) => boolean | Promise<boolean>
  /** Between two looks whether it does. Milliseconds. */
  every: number
}

export const expectsStop = (moments: Moments) =>
  moments.break_output !== null || moments.break_listen !== null

/** Prerequisite: nothing has been printed yet. Returns what is to be done once the program can be copied. */
export function watchMoments(
  execution: Execution,
  moments: Moments,
  scope: Scope,
): (program: Watched, take: Take) => void {
  let stop: (() => void) | null = null
  let printed = false
  if (moments.break_output !== null) {
    execution.onOutput = matcher(new RegExp(moments.break_output, 'm'), () => {
      execution.onOutput = () => {}
      printed = true
      stop?.()
    })
  }
  const { break_listen: port } = moments
  return ({ exited, listens, every }, take) => {
    let timer: NodeJS.Timeout | undefined
    let over = port === null
    const look = async () => {
      if (port !== null && (await listens(port))) stop?.()
      if (!over) timer = setTimeout(again, every)
    }
    const again = () => {
      look().catch((error: unknown) => scope.log.debug('a program that is gone was looked at', { error }))
    }
    const leave = () => {
      over = true
      clearTimeout(timer)
    }
    void exited.then(leave)
    stop = () => {
      execution.onOutput = () => {}
      leave()
      execution.takeFromOutside(take, 'stop', null).catch((error: unknown) => {
        scope.log.info('A program could not be stopped.', { error })
      })
    }
    if (printed) stop()
    else if (!over) again()
  }
}
