# Completion of stacksfs(1) for bash.
# Generated: the options are those of the program's own table.

_stacksfs_options=(
@OPTIONS@
)

# The part of a path that is in $1, completed; $2: -f or -d.
_stacksfs_paths() {
	local path=$1
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen "$2" -- "$path")
}

# The last of the -o list $1.  bash replaces only what comes after the last of
# COMP_WORDBREAKS, $2, so the rest is taken off what is offered.
_stacksfs_list() {
	local item=${1##*,} list=${1%"${1##*,}"} name
	case ${item%%=*} in
	@FILE_OPTIONS@) [[ $item != *=* ]] || { _stacksfs_paths "${item#*=}" -f; return; } ;;
	@DIR_OPTIONS@) [[ $item != *=* ]] || { _stacksfs_paths "${item#*=}" -d; return; } ;;
	esac
	compopt -o nospace 2>/dev/null
	local head=${1%"$2"}
	for name in "${_stacksfs_options[@]}"; do
		[[ $name != "$item"* ]] || COMPREPLY+=("${list#"$head"}$name")
	done
}

_stacksfs_mounts() {
	mapfile -t COMPREPLY < <(
		findmnt -lno TARGET -t fuse.stacksfs 2>/dev/null |
			while read -r path; do [[ $path != "$1"* ]] || printf '%s\n' "$path"; done)
	compopt -o filenames 2>/dev/null
}

_stacksfs() {
	local line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
	local word=${line##*[[:space:]]} before
	COMPREPLY=()
	before=${line%"$word"}
	before=${before%"${before##*[![:space:]]}"}
	before=${before##*[[:space:]]}
	[[ $cur != [=:] ]] || cur=

	if [[ $before == -o && $command != status && $command != refresh ]]; then
		_stacksfs_list "$word" "$cur"
		return
	fi
	case $command in
	status)
		[[ $cur != -* ]] || { mapfile -t COMPREPLY < <(compgen -W '--json --check' -- "$cur"); return; }
		_stacksfs_mounts "$cur"
		return
		;;
	refresh)
		_stacksfs_mounts "$cur"
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-f -d -o --help --version' -- "$cur")
		return
	fi
	_stacksfs_paths "$cur" -d
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(
			compgen -W 'status refresh doctor us eu' -- "$cur")
	elif [ "$COMP_CWORD" = 2 ] && [ "$command" = doctor ]; then
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W 'us eu' -- "$cur")
	fi
}

complete -F _stacksfs stacksfs
