# Completion of stacksfs(1) for fish.
# Generated: the options are those of the program's own table.

function __stacksfs_options
    set -l token (commandline -ct)
    set -l item (string replace -r '.*,' '' -- $token)
    set -l list (string replace -r '[^,]*$' '' -- $token)
    switch $item
        case @FILE_OPTIONS@ @DIR_OPTIONS@
            set -l name (string replace -r '=.*' '=' -- $item)
            printf '%s\n' "$list$name"(__fish_complete_path (string replace -r '^[^=]*=' '' -- $item))
            return
    end
    set -l rows \
@OPTIONS@
    printf '%s\n' "$list"$rows
end

function __stacksfs_mounts
    findmnt -lno TARGET -t fuse.stacksfs 2>/dev/null
end

complete -c stacksfs -f
complete -c stacksfs -n __fish_use_subcommand -a status -d 'How a mount is doing'
complete -c stacksfs -n __fish_use_subcommand -a refresh -d 'Ask for everything anew'
complete -c stacksfs -n __fish_use_subcommand -a doctor -d 'Check what mounting needs'
complete -c stacksfs -n __fish_use_subcommand -a 'us eu' -d Source
complete -c stacksfs -n 'not __fish_seen_subcommand_from status refresh' -a '(__fish_complete_directories)'
complete -c stacksfs -n 'not __fish_seen_subcommand_from status refresh' -s o -x -a '(__stacksfs_options)' -d Options
complete -c stacksfs -n 'not __fish_seen_subcommand_from status refresh doctor' -s f -d 'Stay in the foreground'
complete -c stacksfs -n 'not __fish_seen_subcommand_from status refresh doctor' -s d -d 'The same, and log every request'
complete -c stacksfs -n __fish_use_subcommand -s h -l help -d 'Print a summary'
complete -c stacksfs -n __fish_use_subcommand -s V -l version -d 'Print the version'
complete -c stacksfs -n '__fish_seen_subcommand_from status refresh' -a '(__stacksfs_mounts)'
complete -c stacksfs -n '__fish_seen_subcommand_from status' -l json -d 'As JSON'
complete -c stacksfs -n '__fish_seen_subcommand_from status' -l check -d 'One line, for monitoring'
