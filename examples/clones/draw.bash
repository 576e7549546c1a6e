# Draws a number for every line that it reads. All clones would draw the same ones: a new branch seeds anew.
begun() { cat /run/thaw/branch 2>/dev/null; }

RANDOM=1
branch=$(begun)
echo ready
while read -r _; do
    now=$(begun)
    if [ "$now" != "$branch" ]; then
        branch=$now
        RANDOM=$(od -An -N2 -tu2 /dev/urandom)
    fi
    echo "drew $RANDOM$RANDOM$RANDOM"
done
