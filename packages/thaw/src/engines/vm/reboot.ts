/**
 * `reboot` in the machine of a run: its programs are ended as a shutdown ends them. The machine itself goes with the
 * program that it is there for, when what that has changed has been carried back.
 */
import type { Scope } from '../../system/index.js'
import { GuestRefused, type Guest } from './guest/guest.js'

const PROGRAM = '/usr/local/sbin/reboot'
const MARK = '/run/.thaw-reboot'

/** Shell only, since an image need not have more. What thaw does in the machine is in another cgroup. */
export const SCRIPT = `#!/bin/sh
: > ${MARK}
trap '' HUP TERM
tell() {
  others=
  while read -r pid; do
    [ "$pid" = $$ ] || { kill -s "$1" "$pid" && others=yes; } 2>/dev/null
  done < /sys/fs/cgroup/thaw/cgroup.procs
  [ -n "$others" ]
}
tell TERM
tell HUP
for _ in 1 2 3 4 5 6 7 8 9 10; do
  tell 0 || exit 0
  sleep 0.3
done
tell KILL
`

/** @throws GuestRefused */
export async function addReboot(guest: Guest, scope: Scope): Promise<void> {
  const script = async function* () {
    yield Buffer.from(SCRIPT)
  }
  await guest.writeFile(PROGRAM, script(), 0o755, scope)
}

/** Whether it was asked for in a machine whose program has ended. @throws GuestRefused */
export async function wasRebooted(guest: Guest, scope: Scope): Promise<boolean> {
  try {
    await guest.readFile(MARK, scope)
    return true
  } catch (error) {
    if (error instanceof GuestRefused) return false
    throw error
  }
}
