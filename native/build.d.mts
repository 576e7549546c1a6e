export const programs: readonly string[]
export function sourceDigest(program: string): string
export function build(program: string, arch: 'x64' | 'arm64'): Buffer | null
