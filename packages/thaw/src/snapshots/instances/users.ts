import { ThawError } from '../../system/index.js'

export interface User {
  uid: number
  gid: number
  home: string | null
}

/**
 * A user as `USER` or `USER:GROUP`, each by name or number.
 *
 * @param passwd content of /etc/passwd, where names are looked up; empty where there is none
 * @throws ThawError INVALID_REQUEST for a name that is not there
 */
export function findUser(given: string, passwd: string, group: string): User {
  const [name = '', ofGroup] = given.split(':')
  const users = passwd.split('\n').map((line) => line.split(':'))
  const user = users.find(([login, , uid]) => login === name || (uid === name && uid !== ''))
  const uid = /^\d+$/.test(name) ? Number(name) : Number(user?.[2] ?? Number.NaN)
  let gid = Number(user?.[3] ?? 0)
  if (ofGroup !== undefined) {
    const found = group
      .split('\n')
      .map((line) => line.split(':'))
      .find(([label]) => label === ofGroup)
    gid = /^\d+$/.test(ofGroup) ? Number(ofGroup) : Number(found?.[2] ?? Number.NaN)
  }
  if (Number.isNaN(uid) || Number.isNaN(gid)) {
    throw new ThawError('INVALID_REQUEST', `There is no user ${given} in the instance’s /etc/passwd.`, {
      hint: 'Give a number, or a name that the image knows.',
    })
  }
  return { uid, gid, home: user?.[5] ?? null }
}
