export function sourceDigest(): string
export function build(arch: 'x64' | 'arm64'): Buffer | null
