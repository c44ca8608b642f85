// Every assertion of this folder held when this program was compiled.
int main() {}
