#compdef stacksfs
# Completion of stacksfs(1) for zsh.
# Generated: the options are those of the program's own table.

_stacksfs_options() {
	_values -s , option \
@OPTIONS@
}

_stacksfs_mounts() {
	local -a mounts
	mounts=(${(f)"$(findmnt -lno TARGET -t fuse.stacksfs 2>/dev/null)"})
	_wanted mounts expl 'stacksfs mount' compadd -a mounts
}

_stacksfs_first() {
	local -a commands sources
	commands=(
		'status:how a mount is doing'
		'refresh:ask for everything anew'
		'doctor:check what mounting needs'
	)
	sources=(us eu)
	_describe -t commands command commands
	_wanted sources expl source compadd -a sources
	_directories
}

_stacksfs() {
	case $words[2] in
	status)
		_arguments '(--check)--json[as JSON]' '(--json)--check[one line, for monitoring]' \
			'1:command:' '2:mount point:_stacksfs_mounts'
		;;
	refresh)
		_arguments '1:command:' '2:mount point:_stacksfs_mounts'
		;;
	doctor)
		_arguments '*-o[options]:option:_stacksfs_options' '1:command:' \
			'2:source or mount point:_directories' '3:mount point:_directories'
		;;
	*)
		_arguments '(- *)'{-h,--help}'[print a summary]' '(- *)'{-V,--version}'[print the version]' \
			'-f[stay in the foreground]' '-d[the same, and log every request]' \
			'*-o[options]:option:_stacksfs_options' \
			'1:source or mount point:_stacksfs_first' '2:mount point:_directories'
		;;
	esac
}

_stacksfs "$@"
