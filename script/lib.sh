# Shared by script/run and script/test: finds or installs what the machine lacks. Sourced, not run.

say() { printf '%s\n' "$*" >&2; }

need_cargo() {
    [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
    command -v cargo >/dev/null 2>&1 && return
    say "Rust is missing. Install it from https://rustup.rs, then run this again."
    exit 1
}

# need_packages PACKAGE...: Debian and Ubuntu packages; elsewhere says in one line what is needed.
need_packages() {
    [ "$(uname -s)" = Linux ] || return 0
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        if ! command -v cc >/dev/null 2>&1 || ! pkg-config --exists alsa 2>/dev/null; then
            say "Please install a C compiler, make, pkg-config and the ALSA development files" \
                "(alsa-lib-devel, alsa-lib or alsa-dev), then run this again."
            exit 1
        fi
        return 0
    fi
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            say "Please install as root: apt-get install ${missing[*]}"
            exit 1
        fi
        sudo=(sudo)
    fi
    say "Installing with apt-get: ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

BUILD_PACKAGES=(gcc libc6-dev make pkg-config libasound2-dev)
WINDOW_PACKAGES=(libx11-6 libxcursor1 libxi6 libx11-xcb1 libxkbcommon-x11-0 libgl1)
TEST_PACKAGES=(xvfb xauth xdotool x11-utils imagemagick mesa-vulkan-drivers libgl1-mesa-dri ffmpeg iproute2 nftables)
